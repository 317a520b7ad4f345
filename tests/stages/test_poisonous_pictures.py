"""Pictures on which a model fails, in captioner and scorer, on small real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.models.base import Pixels
from curate.stages.captioners.med import Config as Captioner
from curate.stages.scorers.med import Config as Scorer
from tests.models.checkpoints import tiny_med
from tests.stages.partition_tables import TEXTS, by_uid, partition_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_med(tmp_path_factory.mktemp("models") / "tiny-med")


class Allergic:
    """A model that raises on batches with certain pictures, and is itself otherwise."""

    def __init__(self, model: Any, pixels: list[Pixels], error: Exception) -> None:
        self._model, self._pixels, self._error = model, pixels, error
        self.signature, self.prepare = model.signature, model.prepare

    def _look(self, images_B3HW: Pixels) -> None:
        if any(np.array_equal(image, bad) for image in images_B3HW for bad in self._pixels):
            raise self._error

    def caption(self, images_B3HW: Pixels, uids: Any, draws: Any) -> Any:
        self._look(images_B3HW)
        return self._model.caption(images_B3HW, uids, draws)

    def score(self, images_B3HW: Pixels, texts: Any, images_of: Any) -> Any:
        self._look(images_B3HW)
        return self._model.score(images_B3HW, texts, images_of)


def _prepared(config: Any, places: list[int]) -> list[Pixels]:
    from curate.images import decode

    model, bodies = config.load(), partition_table()["image"]
    return [model.prepare(decode(bodies[place].as_py())) for place in places]


def _allergic(config: Any, places: list[int], error: Exception | None = None) -> Any:
    pixels = _prepared(config, places)

    class Allergy(type(config)):  # type: ignore[misc]
        def load(self) -> Any:
            return Allergic(super().load(), pixels, error or ValueError("cannot look at it"))

    return Allergy(**config.model_dump(by_alias=True))


def _configs(folder: Path) -> list[Any]:
    model = {"model": str(folder)}
    return [Captioner(**model, max_tokens=6), Scorer(**model, canaries=1.0, **{"as": "filter"})]


@pytest.mark.parametrize("which", [0, 1], ids=["captioner", "scorer"])
def test_it_goes_to_the_ledger_and_the_others_are_as_without_it(folder: Path, which: int) -> None:
    config = _configs(folder)[which]
    plain, allergic = config.build(), _allergic(config, [1, 4]).build()
    with plain.ready(), allergic.ready():
        whole, mapped = plain(partition_table()), allergic(partition_table())
    assert mapped.reasons.to_pylist() == [None, "model_failed", None, None, "model_failed", None]
    assert mapped.details[1].as_py() == "ValueError: cannot look at it"
    good = [uid for n, uid in enumerate(mapped.rows["uid"].to_pylist()) if n not in (1, 4)]
    for name in mapped.rows.column_names:
        before, after = by_uid(whole.rows, name), by_uid(mapped.rows, name)
        if name.endswith(("_itc", "_itm")):
            for uid in good:
                np.testing.assert_allclose(after[uid], before[uid], atol=1e-5)
        else:
            assert {u: after[u] for u in good} == {u: before[u] for u in good}


@pytest.mark.parametrize("which", [0, 1], ids=["captioner", "scorer"])
def test_numbers_that_are_not_finite_are_the_pictures(folder: Path, which: int) -> None:
    """One picture of the partition gets NaN for its image tokens."""
    config = _configs(folder)[which]
    (bad,) = _prepared(config, [3])

    class Spoilt(type(config)):  # type: ignore[misc]
        def load(self) -> Any:
            model = super().load()
            encode = model.model.encode_images

            def spoil(pixels_ICHW: Any) -> Any:
                tokens = encode(pixels_ICHW)
                for place, image in enumerate(pixels_ICHW.numpy()):
                    if np.array_equal(image, bad):
                        tokens[place] = float("nan")
                return tokens

            model.model.encode_images = spoil
            return model

    stage = Spoilt(**config.model_dump(by_alias=True)).build()
    with stage.ready():
        mapped = stage(partition_table())
    wanted = [None, None, None, "not_finite", None, None]
    assert mapped.reasons.to_pylist() == wanted
    if mapped.canaries is not None:
        values = mapped.canaries.column(mapped.canaries.num_columns - 1).to_pylist()
        assert np.isfinite(values).all()


@pytest.mark.parametrize("which", [0, 1], ids=["captioner", "scorer"])
def test_a_model_that_fails_on_all_is_the_programs_fault(folder: Path, which: int) -> None:
    stage = _allergic(_configs(folder)[which], list(range(6))).build()
    with stage.ready(), pytest.raises(RuntimeError, match="failed on all") as said:
        stage(partition_table())
    assert isinstance(said.value.__cause__, ValueError)


@pytest.mark.parametrize("which", [0, 1], ids=["captioner", "scorer"])
def test_a_lone_poisonous_picture_is_the_pictures_fault(folder: Path, which: int) -> None:
    stage = _allergic(_configs(folder)[which], [0]).build()
    with stage.ready():
        assert stage(partition_table(TEXTS[:1])).reasons.to_pylist() == ["model_failed"]


def test_a_picture_that_cannot_be_prepared_is_found_too(folder: Path) -> None:
    class Choosy(Captioner):
        def load(self) -> Any:
            model = super().load()
            prepare, sizes = model.prepare, {decoded[2], decoded[5]}

            def choosy(image: Pixels) -> Pixels:
                if image.shape in sizes:
                    raise ZeroDivisionError("too narrow")
                return prepare(image)

            model.prepare = choosy
            return model

    from curate.images import decode

    decoded = [decode(body.as_py()).shape for body in partition_table()["image"]]
    assert len(set(decoded)) == 6
    stage = Choosy(model=str(folder), max_tokens=6).build()
    with stage.ready():
        mapped = stage(partition_table())
    assert mapped.reasons is not None
    assert mapped.reasons.to_pylist() == [None, None, "model_failed", None, None, "model_failed"]
