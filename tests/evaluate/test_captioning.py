"""Captions scored by what is written in Java, as far as this machine has it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from curate.core.errors import ModelError
from curate.core.pairs import ListSource
from curate.evaluate.caption_words import package_folder, treebank_words
from curate.evaluate.evaluators._base import Subject
from curate.evaluate.evaluators.captioning import CaptioningResult, Config, judge, write_captions
from curate.evaluate.java import Java, JavaFault, find_java
from curate.evaluate.meteor import meteor
from tests.evaluate.test_caption_scores import CAPTIONS, REFERENCES
from tests.models.med_models import med_tokenizer
from tests.pretrain.models import small_model

java_here = pytest.mark.skipif(shutil.which("java") is None, reason="there is no java")
NEEDED = {"PTB tokenizer", "METEOR", "SPICE"}


def judged(config: Config, *, resamplings: int = 20) -> CaptioningResult:
    subject = Subject(
        *(small_model("med"), None, ListSource([])),  # type: ignore[arg-type]
        **{"keep_tokens": True, "batch_size": 2, "seed": 0, "resamplings": resamplings},
    )
    return judge(config, subject, CAPTIONS, REFERENCES)


def test_without_java_everything_that_is_left_out_is_named() -> None:
    found = judged(Config(java="never"))
    assert found.tokenizer == "words"
    assert (found.meteor, found.spice) == (None, None)
    assert set(found.left_out) == NEEDED
    said = "\n".join(found.lines())
    assert "tokenizer words" in said
    assert all(f"left out: {name}: " in said for name in NEEDED)
    assert found.intervals["cider"].low < found.cider < found.intervals["cider"].high


def test_a_prompt_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ModelError, match="leaves none of the model's 20 positions"):
        write_captions(
            *(small_model("med"), med_tokenizer(), None),  # type: ignore[arg-type]
            **{"prompt": "dog " * 20, "max_tokens": 5, "num_beams": 1, "batch_size": 2},  # type: ignore[arg-type]
        )


def test_a_machine_without_java_is_told_how_to_mend_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = judged(Config())
    assert set(found.left_out) == NEEDED
    assert "no java on the path: install one" in found.left_out["METEOR"]
    with pytest.raises(JavaFault, match="PTB tokenizer: there is no java on the path"):
        judged(Config(java="require"))


def test_a_java_that_does_not_start_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "java"
    fake.write_text("#!/bin/sh\necho 'no runtime present' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = judged(Config())
    assert "does not start: failed: no runtime present" in found.left_out["METEOR"]


@java_here
def test_the_official_tokenizer_keeps_what_is_one_word() -> None:
    texts = ["A well-known dog's ball; two!", "", "Naïve\u2028café", "!"]
    assert treebank_words(find_java(60), texts) == [
        ["a", "well-known", "dog", "'s", "ball", "two"],
        [],
        ["naïve", "café"],
        [],
    ]


@java_here
@pytest.mark.slow
def test_with_java_the_figures_are_the_official_ones() -> None:
    from pycocoevalcap.meteor.meteor import Meteor

    found = judged(Config())
    assert found.tokenizer == "ptb"
    assert found.meteor is not None
    assert found.intervals["meteor"].low <= found.meteor <= found.intervals["meteor"].high
    java = find_java(60)
    wrote = treebank_words(java, CAPTIONS)
    wanted = [treebank_words(java, some) for some in REFERENCES]
    theirs = Meteor()
    value, _ = theirs.compute_score(
        {n: [" ".join(one) for one in some] for n, some in enumerate(wanted)},
        {n: [" ".join(one)] for n, one in enumerate(wrote)},
    )
    theirs.meteor_p.stdout.close()
    theirs.meteor_p.stderr.close()
    assert found.meteor == pytest.approx(value, abs=1e-9)
    # a drawn set has the METEOR of its repeated captions
    places = [0, 0, 2]
    with meteor(java, [wrote[i] for i in places], [wanted[i] for i in places]) as repeated:
        value = repeated.of_sets(np.ones((1, 3)))["meteor"][0]
    with meteor(java, wrote, wanted) as whole:
        assert whole.of_sets(np.array([[2.0, 0, 1]]))["meteor"][0] == pytest.approx(value)


@java_here
def test_a_program_beyond_its_deadline_is_ended_and_named() -> None:
    with (
        pytest.raises(JavaFault, match=r"longer than java_timeout_s, 0\.05 s, and was ended"),
        meteor(Java("java", 0.05), [["a", "dog"]], [[["a", "cat"]]]),
    ):
        pass


def test_spice_says_which_files_it_lacks_and_where() -> None:
    from curate.evaluate.spice import spice

    if (package_folder() / "spice" / "lib" / "stanford-corenlp-3.6.0.jar").exists():
        pytest.skip("SPICE's parser is here")
    with pytest.raises(JavaFault, match=r"needs stanford-corenlp-3\.6\.0\.jar and .*-models\.jar"):
        spice(Java("java", 60), CAPTIONS, REFERENCES)


def test_spice_is_asked_and_read_as_its_program_has_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A stand-in for the program: the parser that the real one stands on is not here."""
    from curate.evaluate import spice as module

    lib = tmp_path / "spice" / "lib"
    lib.mkdir(parents=True)
    for name in module._PARSER:
        (lib / name).touch()
    monkeypatch.setattr(module, "package_folder", lambda: tmp_path)
    program = tmp_path / "java"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    found = module.spice(Java(str(program), 60), ["a dog", "a cat", "!"], [["a dog"]] * 3)
    assert found.scores[:2].tolist() == [0.25, 0.5]
    assert np.isnan(found.scores[2])
    assert found.of_sets(np.array([[1.0, 1, 1], [0, 2, 1]]))["spice"].tolist() == [0.375, 0.5]


_PROGRAM = """#!/usr/bin/env python3
import json, sys
given, out = sys.argv[-4], sys.argv[sys.argv.index("-out") + 1]
asked = json.load(open(given, encoding="utf-8"))
assert [one["test"] for one in asked] == ["a dog", "a cat", "!"], asked
scores = [0.25, 0.5, None]
told = [
    {"image_id": one["image_id"], "scores": {"All": {"f": scores[one["image_id"]]}}}
    for one in reversed(asked)
]
json.dump(told, open(out, "w", encoding="utf-8"))
"""
