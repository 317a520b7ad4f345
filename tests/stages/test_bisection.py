from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from curate.core.errors import DeviceFailed, ModelError
from curate.stages.bisection import Bisection
from curate.stages.faults import Faults


class Model:
    """Doubles numbers; raises on some, and where a call has more numbers than it has room for."""

    def __init__(
        self, places: Sequence[int], *, room: int = 1000, poison: dict[int, Exception] | None = None
    ) -> None:
        self.places, self._room, self._poison = places, room, poison or {}
        self.calls: list[tuple[int, int]] = []
        self.done: list[int] = []

    def __call__(self, start: int, stop: int) -> None:
        self.calls.append((start, stop))
        if stop - start > self._room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        for place in self.places[start:stop]:
            if place in self._poison:
                raise self._poison[place]
        self.done += self.places[start:stop]


def counted(calls: Bisection) -> dict[str, float]:
    """Return the notes without the time, which is never the same."""
    notes = calls.notes
    assert notes.pop("device_seconds") > 0
    return notes


def _sound() -> None:
    pass


def _unsound() -> None:
    raise ValueError("cannot do anything")


def test_a_batch_that_works_is_one_call() -> None:
    calls, model = Bisection(Faults(), size=8), Model([5, 3, 4])
    calls.run(model, model.places)
    calls.finish(_unsound)
    assert (model.calls, model.done) == ([(0, 3)], [5, 3, 4])
    assert counted(calls) == {"least_batch": 8, "halvings": 0, "batches_le_4": 1}


def test_a_smaller_size_is_kept_for_what_follows() -> None:
    calls = Bisection(Faults(), size=8)
    first, second = Model(list(range(8)), room=3), Model(list(range(8, 13)), room=3)
    calls.run(first, first.places)
    calls.run(second, second.places)
    assert first.calls == [(0, 8), (0, 4), (0, 2), (2, 4), (4, 6), (6, 8)]
    assert second.calls == [(0, 2), (2, 4), (4, 5)]
    assert first.done + second.done == list(range(13))
    batches = {"batches_le_1": 1, "batches_le_2": 6}
    assert counted(calls) == {"least_batch": 2, "halvings": 2, **batches}


def test_a_single_picture_too_large_for_the_device_is_an_error() -> None:
    calls, model = Bisection(Faults(), size=4), Model([0, 1], room=0)
    with pytest.raises(torch.OutOfMemoryError):
        calls.run(model, model.places)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_runs_out_under_many_names(error: Exception) -> None:
    calls, model = Bisection(Faults(), size=4), Model([0, 1, 2, 3], poison={1: error})
    with pytest.raises(type(error)):
        calls.run(model, model.places)
    assert calls.notes["halvings"] == 2


@pytest.mark.parametrize("bad", [{0}, {6}, {2, 3}, {0, 3, 6}, {1, 2, 3, 4, 5, 6}])
def test_poisonous_pictures_are_found_and_the_others_done_in_order(bad: set[int]) -> None:
    faults = Faults()
    places = [10 + n for n in range(7)]
    poison: dict[int, Exception] = {10 + n: ValueError(f"picture {n}\nis poison") for n in bad}
    calls, model = Bisection(faults, size=7), Model(places, poison=poison)
    calls.run(model, places)
    calls.finish(_unsound)
    assert model.done == [place for place in places if place not in poison]
    assert {p: (f.reason, f.detail) for p, f in faults.by_place.items()} == {
        10 + n: ("model_failed", f"ValueError: picture {n} is poison") for n in bad
    }


def test_one_poisonous_picture_costs_two_calls_a_halving() -> None:
    calls, model = (
        Bisection(Faults(), size=32),
        Model(list(range(32)), poison={9: ValueError("no")}),
    )
    calls.run(model, model.places)
    assert len(model.calls) == 1 + 2 * 5


def test_poison_and_little_memory_together() -> None:
    faults = Faults()
    calls = Bisection(faults, size=8)
    model = Model(list(range(8)), room=4, poison={5: ValueError("no")})
    calls.run(model, model.places)
    assert sorted(model.done) == [0, 1, 2, 3, 4, 6, 7]
    assert list(faults.by_place) == [5]
    batches = {"batches_le_1": 1, "batches_le_2": 1, "batches_le_4": 1}
    assert counted(calls) == {"least_batch": 4, "halvings": 1, **batches}


def test_numbers_that_are_not_finite_have_a_reason_of_their_own() -> None:
    faults = Faults()
    calls, model = Bisection(faults, size=4), Model([0, 1], poison={1: FloatingPointError("nan")})
    calls.run(model, model.places)
    reasons, details = faults.columns(3)
    assert reasons.to_pylist() == [None, "not_finite", None]
    assert details.to_pylist() == [None, "FloatingPointError: nan", None]


def test_a_model_that_fails_on_every_picture_is_no_fault_of_theirs() -> None:
    calls = Bisection(Faults(), size=4)
    model = Model([0, 1, 2], poison={n: ValueError(f"no {n}") for n in range(3)})
    calls.run(model, model.places)
    with pytest.raises(
        RuntimeError, match=r"failed on all 3 pictures \(ValueError: no 0\)"
    ) as said:
        calls.finish(_sound)
    assert isinstance(said.value.__cause__, ValueError)


def test_a_lone_picture_is_judged_beside_one_that_nothing_is_wrong_with() -> None:
    for control, fault in ((_sound, "picture"), (_unsound, "program")):
        faults = Faults()
        calls, model = Bisection(faults, size=4), Model([7], poison={7: ValueError("no")})
        calls.run(model, model.places)
        if fault == "picture":
            calls.finish(control)
            assert list(faults.by_place) == [7]
        else:
            with pytest.raises(RuntimeError, match="every picture"):
                calls.finish(control)


def test_a_failed_device_and_our_own_errors_are_nobodys_picture() -> None:
    said = "CUDA error: device-side assert triggered"
    for error in (torch.AcceleratorError(said), RuntimeError(said)):
        calls, model = Bisection(Faults(), size=4), Model([0, 1], poison={1: error})
        with pytest.raises(DeviceFailed, match="device-side assert"):
            calls.run(model, model.places)
    calls, model = Bisection(Faults(), size=4), Model([0, 1], poison={1: ModelError("bad")})
    with pytest.raises(ModelError, match="bad"):
        calls.run(model, model.places)


def test_what_a_failed_call_held_is_let_go_before_the_next() -> None:
    import weakref

    class Large:
        pass

    held: list[weakref.ref[Large]] = []

    def call(start: int, stop: int) -> None:
        assert not any(ref() for ref in held), "the last attempt's memory is still taken"
        large = Large()
        held.append(weakref.ref(large))
        if stop - start > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    Bisection(Faults(), size=8).run(call, range(8))
    assert len(held) == 3 + 8


def test_a_long_error_is_cut() -> None:
    faults = Faults()
    faults.blame(0, ValueError("x" * 1000))
    assert len(faults.by_place[0].detail) == 300
