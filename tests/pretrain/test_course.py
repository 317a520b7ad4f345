from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from curate.core.errors import SourceError
from curate.core.pairs import ListSource, Pair
from curate.pretrain.course import Course, best_pictures
from tests.models.med_models import med_tokenizer
from tests.pretrain.scenes import recipe


def source(count: int = 40) -> ListSource:
    texts = [["a red dog", "two green birds"][: 1 + n % 2] for n in range(count)]
    scores = [[n / count] * len(texts[n]) for n in range(count)]
    return ListSource([Pair(f"u{n}", b"", texts[n], (), scores[n]) for n in range(count)])


def course(**changes: Any) -> Course:
    pairs = source()
    made = recipe(**{"epochs": 3, "batch_size": 8, **changes})
    return Course(made, pairs, list(range(len(pairs))), med_tokenizer(), max_tokens=16)


FINAL = {"epochs": 2, "share": 0.25, "lr": 1e-4}


def test_steps_are_numbered_through_all_epochs_and_the_final_stage() -> None:
    made = course(final=FINAL)
    steps = list(made.from_step(0))
    assert [step.number for step in steps] == list(range(made.steps)) == list(range(3 * 5 + 2 * 2))
    assert [step.epoch for step in steps] == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 2 + [4] * 2
    assert steps[7].epochs_done == pytest.approx(1.4)
    assert made.epochs == 5


def test_any_step_can_be_the_first() -> None:
    made = course(final=FINAL, data={"texts": {"mixing": "concatenate"}})
    whole = [(step.number, step.lr, step.batch.indices) for step in made.from_step(0)]
    for first in range(made.steps + 1):
        again = [(step.number, step.lr, step.batch.indices) for step in made.from_step(first)]
        assert again == whole[first:]


def test_the_final_stage_takes_the_best_pictures_at_a_rate_of_its_own() -> None:
    steps = list(course(final=FINAL).from_step(15))
    assert {index for step in steps for index in step.batch.indices} == set(range(30, 40))
    assert max(step.lr for step in steps) == pytest.approx(1e-4)
    assert steps[-1].lr < steps[0].lr


def test_concatenated_texts_make_a_longer_epoch() -> None:
    made = course(data={"texts": {"mixing": "concatenate"}})
    epoch = [step for step in made.from_step(0) if step.epoch == 0]
    assert sum(len(step.batch.indices) for step in epoch) == 20 + 2 * 20
    assert made.steps == 3 * 8


def test_the_best_are_ranked_by_score_and_then_by_place() -> None:
    scores = [0.5, None, 0.9, 0.5, 0.1]
    assert best_pictures(scores, [0, 1, 2, 3, 4], 0.4) == [0, 2]
    assert best_pictures(scores, [1, 3, 4], 0.4) == [3]
    assert best_pictures(scores, [0, 1, 2, 3, 4], 1.0) == [0, 2, 3, 4]
    with pytest.raises(SourceError, match="none has a score"):
        best_pictures([None, None], [0, 1], 0.5)


def test_a_final_stage_without_a_batch_is_refused() -> None:
    with pytest.raises(SourceError, match="share is too small"):
        course(final={**FINAL, "share": 0.01})


def test_steps_end_the_course_in_the_middle_of_an_epoch() -> None:
    by_epochs, by_steps = course(epochs=3), course(epochs=None, steps=7)
    whole, cut = list(by_epochs.from_step(0)), list(by_steps.from_step(0))
    assert [step.number for step in cut] == list(range(7))
    assert by_steps.steps == 7
    assert [step.batch.indices for step in cut] == [step.batch.indices for step in whole[:7]]
    assert cut[-1].lr < whole[6].lr  # the rate falls to its end within them
    assert [step.number for step in by_steps.from_step(5)] == [5, 6]


def test_any_step_of_a_final_stage_after_part_of_an_epoch_can_be_the_first() -> None:
    made = course(epochs=None, steps=7, final={**FINAL, "epochs": 4})
    whole = [(step.number, step.batch.indices) for step in made.from_step(0)]
    assert len(whole) == 7 + 4 * 2
    for first in range(made.steps + 1):
        assert [(step.number, step.batch.indices) for step in made.from_step(first)] == whole[
            first:
        ]


@pytest.mark.parametrize("length", [{"epochs": 2, "steps": 7}, {"epochs": None, "steps": None}])
def test_a_course_has_one_length(length: dict[str, int | None]) -> None:
    with pytest.raises(ValidationError, match="give 'epochs' or 'steps'"):
        recipe(**length)
