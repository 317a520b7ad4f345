"""What every family of scorers owes, on a small checkpoint with random weights."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers as tf

from curate.core.errors import ModelError
from curate.core.families import kinds
from curate.images import decode
from curate.stages.scoring import EmbeddingScorerConfig, ScorerConfig, ScoreStage
from tests.conformance.scorer_references import REFERENCES, Answer
from tests.models.checkpoints import (
    SPECIAL,
    WORDS,
    tiny_blip_captioner,
    tiny_blip_scorer,
    tiny_med,
)
from tests.models.tiny_scorers import TINY
from tests.stages.partition_tables import by_uid, partition_table

FAMILIES = {**TINY, "blip": tiny_blip_scorer}
#: The kind that takes a family's checkpoints, where its name is another.
KIND = {"siglip2": "siglip"}
#: The module whose calls are passes over images, and over texts alone where there are such.
TOWERS: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(
        ("clip", "chinese_clip", "altclip", "align", "siglip", "siglip2"),
        ("vision_model", "text_model"),
    ),
    "blip": ("vision_model", None),
    "blip_2": ("vision_model", None),
    "flava": ("flava.image_model", "flava.text_model"),
    "vilt": ("vilt.embeddings.patch_embeddings", None),
    "bridgetower": ("vision_model.visual.embeddings", "text_model.embeddings"),
}
#: No cosine of one vector with one other: an image has many, or the texts meet it within.
WITHOUT_TEXT_VECTORS = {"blip_2", "vilt", "bridgetower"}
ESSAY = "two birds in the snow under the old tree beside the water, " * 12
TEXTS: list[list[str]] = [
    ["a red dog on the grass", "birds"],
    ["two birds in the snow", "birds", "a small house, with water!"],
    [],
    ["A Dog", ESSAY],
    ["three cats running"],
    ["birds", "a red dog on the grass"],
]
DISTINCT = len({text for texts in TEXTS for text in texts})


@dataclass(frozen=True)
class Family:
    """A family's kind and a checkpoint of it."""

    name: str
    folder: Path

    def config(self, **settings: Any) -> ScorerConfig:
        kind = kinds("scorers")[KIND.get(self.name, self.name)].config()
        assert issubclass(kind, ScorerConfig)
        return kind(**{"model": str(self.folder), "as": "x", "canaries": 0.0, **settings})

    def answers(self, rows: pa.Table) -> list[list[Answer]]:
        """Return what transformers says of every pair of a partition."""
        ask = REFERENCES[self.name](self.folder)
        pictures = [decode(body) for body in rows["image"].to_pylist()]
        return [
            [ask(picture, text) for text in texts]
            for picture, texts in zip(pictures, rows["texts"].to_pylist(), strict=True)
        ]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tmp_path_factory.mktemp("models") / request.param
    return Family(request.param, FAMILIES[request.param](folder))


@pytest.fixture(scope="module")
def stage(family: Family) -> Iterator[ScoreStage]:
    stage = family.config().build()
    with stage.ready():
        yield stage


def _numbers(rows: pa.Table) -> dict[str, Any]:
    return {name: by_uid(rows, name) for name in rows.column_names if name in ("x_itc", "x_itm")}


def test_every_scorer_is_held_to_account_here() -> None:
    ours = {name for name, kind in kinds("scorers").items() if kind.module.startswith("curate.")}
    # MED and CoCa: test_med_family.py
    assert ours - {"med", "coca"} == {KIND.get(name, name) for name in FAMILIES}
    assert set(FAMILIES) == set(REFERENCES) == set(TOWERS)


def test_scores_are_those_of_transformers(family: Family, stage: ScoreStage) -> None:
    rows = partition_table(TEXTS)
    got, wanted = stage(rows).rows, family.answers(rows)
    assert got["uid"].equals(rows["uid"])
    for score in family.config().scores:
        values = got[f"x_{score}"].to_pylist()
        for some, answers in zip(values, wanted, strict=True):
            np.testing.assert_allclose(some, [answer[score] for answer in answers], atol=1e-4)
        flat = np.array([value for some in values for value in some])
        low, high = (-1, 1) if score == "itc" else (0, 1)
        assert low <= flat.min() < flat.max() <= high
        assert np.ptp(flat) > 0.01, "all pairs score alike: the comparison shows nothing"


def test_a_number_that_the_family_does_not_give_is_no_column(stage: ScoreStage) -> None:
    rows = partition_table(TEXTS)
    mapped = stage(rows)
    ask = {name for name in ("itc", "itm") if f"x_{name}" in mapped.rows.column_names}
    assert ask == set(stage._config.scores) != set()
    assert mapped.canaries is not None
    assert set(mapped.canaries.column_names) >= {f"x_{name}" for name in ask}


def test_the_same_twice_and_in_any_order_and_batch(family: Family, stage: ScoreStage) -> None:
    rows = partition_table(TEXTS)
    wanted = _numbers(stage(rows).rows)
    assert _numbers(stage(rows).rows) == wanted
    small = family.config(batch_size=2).build()
    with small.ready():
        got = _numbers(small(rows.take([5, 3, 1, 0, 2, 4])).rows)
    for name, scores in wanted.items():
        for uid, values in scores.items():
            assert got[name][uid] == pytest.approx(values, abs=1e-5)


def test_texts_that_were_cut_are_flagged_and_counted(stage: ScoreStage) -> None:
    rows = partition_table([["a dog", ESSAY], [ESSAY + "grass"], ["birds"]])
    mapped = stage(rows)
    assert mapped.rows["x_truncated"].to_pylist() == [[False, True], [True], [False]]
    assert mapped.notes["truncated"] == 2
    for score in stage._config.scores:
        assert None not in [v for row in mapped.rows[f"x_{score}"].to_pylist() for v in row]


def test_texts_with_a_reason_have_neither_number_nor_flag(stage: ScoreStage) -> None:
    rows = partition_table([["a dog", ESSAY]], reasons=[[None, "too_many_words"]])
    mapped = stage(rows)
    assert mapped.rows["x_truncated"].to_pylist() == [[False, None]]
    for score in stage._config.scores:
        (values,) = mapped.rows[f"x_{score}"].to_pylist()
        assert [value is None for value in values] == [False, True]


def test_canaries_get_the_score_of_their_own_pair(family: Family) -> None:
    rows = partition_table(TEXTS)
    every = family.config(canaries=1.0).build()
    with every.ready():
        canaries = every(rows).canaries
    assert canaries is not None
    assert canaries.num_rows == len(TEXTS)
    ask = REFERENCES[family.name](family.folder)
    for canary in canaries.to_pylist()[:3]:
        place = canary["row"] - 10
        answer = ask(decode(rows["image"][place].as_py()), canary["text"])
        for score in every._config.scores:
            assert canary[f"x_{score}"] == pytest.approx(answer[score], abs=1e-4)


def test_images_and_distinct_texts_are_encoded_once(family: Family, stage: ScoreStage) -> None:
    model: Any = stage._model
    network, counts = model._model, Counter[str]()
    towers = dict(zip(("images", "texts"), TOWERS[family.name], strict=True))
    handles = []
    for what, path in towers.items():
        if path is None:
            continue

        def count(module: Any, args: Any, kwargs: Any, out: Any, what: str = what) -> None:
            first = args[0] if args else next(iter(kwargs.values()))
            counts[what] += len(first)

        handles.append(network.get_submodule(path).register_forward_hook(count, with_kwargs=True))
    stage(partition_table(TEXTS))
    for handle in handles:
        handle.remove()
    assert counts["images"] == sum(bool(texts) for texts in TEXTS)
    if towers["texts"] is not None:
        assert counts["texts"] == DISTINCT, "distinct texts of the one batch"


def test_a_checkpoint_of_another_family_is_refused_by_name(family: Family, tmp_path: Path) -> None:
    other = tiny_med(tmp_path / "m")
    config = family.config(model=str(other))
    (said,) = config.check()
    assert "'med'" in said
    assert "the scorer 'med' accepts 'med'" in said
    with pytest.raises(ModelError, match="the scorer 'med' accepts"), config.build().ready():
        pass


# -- embeddings ---------------------------------------------------------------------------------


def test_embeddings_are_what_itc_compares(family: Family) -> None:
    if not issubclass(type(family.config()), EmbeddingScorerConfig):
        assert "embed" not in type(family.config()).model_fields
        return
    config, rows = family.config(embed=True), partition_table(TEXTS, broken=[4])
    stage = config.build()
    with stage.ready():
        mapped = stage(rows)
    (field,) = [field for field in config.writes if field.name == "x_embed"]
    assert mapped.rows.schema.field("x_embed").type == field.type
    assert field.type == pa.list_(pa.float16(), config.embed_width)
    embeds = mapped.rows["x_embed"].to_pylist()
    assert [embed is None for embed in embeds] == [False] * 4 + [True, False]
    assert mapped.reasons is not None
    assert mapped.reasons.to_pylist() == [None] * 4 + ["truncated_image", None]
    ask = REFERENCES[family.name](family.folder)
    for place, embed in enumerate(embeds):
        if embed is not None:  # row 2 has no text
            np.testing.assert_allclose(np.linalg.norm(embed), 1, atol=2e-3)
            wanted = ask(decode(rows["image"][place].as_py()), "a dog")["embed"]
            np.testing.assert_allclose(embed, wanted, atol=1e-3)


def test_a_text_that_has_a_vector_meets_its_image_by_itc(family: Family) -> None:
    config, rows = family.config(), partition_table(TEXTS)
    model = config.load()
    texts = ["a red dog on the grass", "birds", ESSAY, "birds"]
    found = model.embed_texts(texts)  # type: ignore[attr-defined]
    if family.name in WITHOUT_TEXT_VECTORS:
        assert found is None
        return
    images = np.stack([model.prepare(decode(rows["image"][0].as_py()))])
    scored = model.score(images, texts, [0] * len(texts))
    assert scored.image_embeds is not None
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found @ scored.image_embeds[0], scored.numbers["itc"], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "config", "setting"),
    [
        ("clip", tf.CLIPConfig(), "projection_dim"),
        ("chinese_clip", tf.ChineseCLIPConfig(), "projection_dim"),
        ("altclip", tf.AltCLIPConfig(), "projection_dim"),
        ("align", tf.AlignConfig(), "projection_dim"),
        ("siglip", tf.SiglipConfig().vision_config, "hidden_size"),
        ("siglip", tf.Siglip2Config().vision_config, "hidden_size"),
        ("flava", tf.FlavaConfig(), "projection_dim"),
        ("blip", tf.BlipConfig(), "image_text_hidden_size"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_config_that_leaves_the_width_out_means_transformers_default(
    kind: str, config: Any, setting: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    made = kinds("scorers")[kind].config()(model=str(tmp_path), embed=True)
    assert made.embed_width == getattr(config, setting)  # type: ignore[attr-defined]


def test_a_width_that_cannot_be_told_is_a_problem_of_the_recipe(tmp_path: Path) -> None:
    folder = FAMILIES["clip"](tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "projection_dim": "wide"}))
    made = kinds("scorers")["clip"].config()(model=str(folder), embed=True)
    (said,) = made.check()  # type: ignore[attr-defined]
    assert "does not say how wide its embeddings are" in said


# -- checkpoints that lack something --------------------------------------------------------------


def _refused(kind: str, folder: Path, match: str) -> None:
    stage = kinds("scorers")[kind].config()(model=str(folder)).build()  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match=match), stage.ready():
        pass


def test_a_checkpoint_without_the_head_that_matches_is_refused(tmp_path: Path) -> None:
    flava = FAMILIES["flava"](tmp_path / "flava")
    tf.FlavaModel.from_pretrained(flava).save_pretrained(flava)
    _refused("flava", flava, r"FlavaModel and lacks .*itm_head")
    vilt = FAMILIES["vilt"](tmp_path / "vilt")
    tf.ViltForMaskedLM.from_pretrained(vilt).save_pretrained(vilt)
    _refused("vilt", vilt, r"ViltForMaskedLM and lacks .*rank_output")
    _refused("blip", tiny_blip_captioner(tmp_path / "blip"), "lacks")


def test_a_q_former_that_reads_no_texts_is_refused(tmp_path: Path) -> None:
    folder = FAMILIES["blip_2"](tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config["qformer_config"]["use_qformer_text_input"] = False
    (folder / "config.json").write_text(json.dumps(config))
    _refused("blip_2", folder, "reads no texts")


def test_a_picture_of_any_shape_is_scored_by_families_that_keep_shapes(tmp_path: Path) -> None:
    for name in ("siglip2", "vilt"):
        family = Family(name, FAMILIES[name](tmp_path / name))
        model = family.config().load()
        ask = REFERENCES[name](family.folder)
        rng = np.random.default_rng(0)
        shapes = [(90, 30), (30, 90), (64, 64), (33, 47)]
        pictures = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
        prepared = np.stack([model.prepare(picture) for picture in pictures])
        got = model.score(prepared, ["a dog"] * 4, [0, 1, 2, 3]).numbers
        for score, values in got.items():
            wanted = [ask(picture, "a dog")[score] for picture in pictures]
            np.testing.assert_allclose(values, wanted, atol=1e-4)


def test_siglip_lower_cases_and_pads_on_the_right_whatever_its_tokenizer_says(
    tmp_path: Path,
) -> None:
    """As SigLIP 2 for pictures of a fixed size, which comes with Gemma's tokenizer."""
    folder = FAMILIES["siglip"](tmp_path / "m")
    for name in ("spiece.model", "tokenizer_config.json"):
        (folder / name).unlink()
    vocab = {word: i for i, word in enumerate((*SPECIAL, *WORDS[:40]))}
    tokenizer = tf.BertTokenizer(vocab=vocab, do_lower_case=False, padding_side="left")
    tokenizer.save_pretrained(folder)
    model = kinds("scorers")["siglip"].config()(model=str(folder)).load()  # type: ignore[attr-defined]
    pictures = np.stack([model.prepare(np.full((9, 9, 3), 60, np.uint8))])
    upper, lower, other = model.score(pictures, ["A Dog", "a dog", "a cat"], [0, 0, 0]).numbers[
        "itc"
    ]
    assert upper == lower != other
    ids = torch.tensor([vocab[word] for word in ("[CLS]", "a", "dog", "[SEP]")])
    ids = torch.nn.functional.pad(ids, (0, 16), value=vocab["[PAD]"])
    network = tf.SiglipModel.from_pretrained(folder).eval()
    with torch.no_grad():
        text = network.get_text_features(ids[None]).pooler_output[0]
        values = torch.from_numpy(pictures).float() / 127.5 - 1
        image = network.get_image_features(values).pooler_output[0]
    assert lower == pytest.approx(torch.cosine_similarity(text, image, dim=0).item(), abs=1e-4)


def test_settings_of_all_scorers_are_read_without_torch() -> None:
    names = [kind.module for kind in kinds("scorers").values() if kind.module.startswith("curate.")]
    code = f"import importlib, sys; [importlib.import_module(name) for name in {names!r}]; "
    code += "assert not {'torch', 'transformers', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_half_precision_stays_near(family: Family) -> None:
    if family.name == "align":
        pytest.skip("the stored statistics of its tower do not survive it: see the kind")
    rows = partition_table(TEXTS)
    exact, coarse = family.config(), family.config(dtype="bfloat16")
    stages = [config.build() for config in (exact, coarse)]
    results = []
    for stage in stages:
        with stage.ready():
            results.append(_numbers(stage(rows).rows))
    for name, scores in results[0].items():
        for uid, values in scores.items():
            assert results[1][name][uid] == pytest.approx(values, abs=0.15)
