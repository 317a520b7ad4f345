from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BertTokenizer,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipImageProcessorPil,
)

from curate.core.errors import ModelError
from curate.models.base import Writing
from curate.models.blip import BlipCaptioner, BlipScorer, blip_pictures
from curate.models.checkpoints import fetch
from curate.models.sampling import Sampling
from tests.models.blip_port import BlipPort
from tests.models.checkpoints import SIDE, pictures, tiny_blip_captioner, tiny_blip_scorer

CPU = torch.device("cpu")
UIDS = [f"{n:032x}" for n in range(8)]
TEXTS = [
    "a dog",
    "a small red house under the old tree in the snow, with two birds",
    "",
    "three cats running on the street",
    "zzz unknown 123 words",
]


@pytest.fixture(scope="module")
def captioner_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_blip_captioner(tmp_path_factory.mktemp("models") / "tiny-captioner")


@pytest.fixture(scope="module")
def scorer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_blip_scorer(tmp_path_factory.mktemp("models") / "tiny-scorer")


def _captioner(folder: Path, **writing: Any) -> BlipCaptioner:
    settings = {"max_tokens": 10, **writing}
    return BlipCaptioner(
        fetch(str(folder), None), Writing(**settings), device=CPU, dtype=torch.float32
    )


def _scorer(folder: Path, **settings: Any) -> BlipScorer:
    return BlipScorer(fetch(str(folder), None), device=CPU, dtype=torch.float32, **settings)


def _images(model: BlipCaptioner | BlipScorer, count: int = 8) -> np.ndarray:
    return np.stack([model.prepare(picture) for picture in pictures(count)])


def _reference_pixels(folder: Path, count: int) -> torch.Tensor:
    processor = BlipImageProcessorPil.from_pretrained(folder)
    pixels: torch.Tensor = processor(pictures(count), return_tensors="pt")["pixel_values"]
    return pixels


def _mend(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_pictures_are_prepared_as_the_checkpoints_processor_does(scorer_folder: Path) -> None:
    images = blip_pictures(fetch(str(scorer_folder), None), image_size=SIDE)
    ours = np.stack([images.prepare(picture) for picture in pictures(8)])
    assert ours.dtype == np.uint8
    got = images.normalised(ours, torch.zeros(1))
    torch.testing.assert_close(got, _reference_pixels(scorer_folder, 8), atol=1e-5, rtol=0)


def test_scores_equal_a_plain_transformers_call(scorer_folder: Path) -> None:
    scorer = _scorer(scorer_folder, texts_per_batch=3)
    pairs = [(image, text) for image in range(4) for text in TEXTS]
    got = scorer.score(
        _images(scorer, 4), [text for _, text in pairs], [image for image, _ in pairs]
    )
    model = BlipForImageTextRetrieval.from_pretrained(scorer_folder).eval()
    tokenizer = BertTokenizer.from_pretrained(scorer_folder)
    pixels = _reference_pixels(scorer_folder, 4)
    for place, (image, text) in enumerate(pairs):
        inputs = {
            **tokenizer(text, return_tensors="pt", return_token_type_ids=False),
            "pixel_values": pixels[image : image + 1],
        }
        with torch.no_grad():
            itc = model(**inputs, use_itm_head=False).itm_score.item()
            itm = model(**inputs).itm_score.softmax(-1)[0, 1].item()
        assert got.numbers["itc"][place] == pytest.approx(itc, abs=1e-5)
        assert got.numbers["itm"][place] == pytest.approx(itm, abs=1e-5)
    assert np.ptp(got.numbers["itm"]) > 0.1, "all pairs score alike: the comparison shows nothing"


def test_scores_do_not_depend_on_the_company(scorer_folder: Path) -> None:
    scorer = _scorer(scorer_folder)
    images = _images(scorer)
    texts, images_of = TEXTS * 2, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]
    together = scorer.score(images, texts, images_of)
    backwards = scorer.score(images[::-1].copy(), texts[::-1], [7 - i for i in images_of[::-1]])
    alone = [
        scorer.score(images[image : image + 1], [text], [0])
        for text, image in zip(texts, images_of, strict=True)
    ]
    for name in ("itc", "itm"):
        np.testing.assert_allclose(backwards.numbers[name][::-1], together.numbers[name], atol=1e-5)
        np.testing.assert_allclose(
            [s.numbers[name][0] for s in alone], together.numbers[name], atol=1e-5
        )


@pytest.mark.parametrize(("itm_token", "first"), [("cls", "[CLS]"), ("enc", "[ENC]")])
def test_scores_equal_the_papers_forward_pass_with_either_first_token(
    scorer_folder: Path, itm_token: str, first: str
) -> None:
    scorer = _scorer(scorer_folder, itm_token=itm_token)
    pairs = [(image, text) for image in range(3) for text in TEXTS]
    got = scorer.score(
        _images(scorer, 3), [text for _, text in pairs], [image for image, _ in pairs]
    )
    port = BlipPort(scorer_folder, image_heads=2, text_heads=4, patch=8)
    tokenizer = BertTokenizer.from_pretrained(scorer_folder)
    # [DEC] is the first id behind the tokenizer's, [ENC] the next
    first_id = len(tokenizer) + 1 if first == "[ENC]" else tokenizer.cls_token_id
    pixels = _reference_pixels(scorer_folder, 3)
    for place, (image, text) in enumerate(pairs):
        ids = torch.tensor(tokenizer(text)["input_ids"])
        itc, itm = port.itc(pixels[image], ids), port.itm(pixels[image], ids, first_id)
        assert got.numbers["itc"][place] == pytest.approx(itc, abs=1e-4)
        assert got.numbers["itm"][place] == pytest.approx(itm, abs=1e-4)


def test_the_first_token_changes_itm_and_leaves_itc_alone(scorer_folder: Path) -> None:
    cls, enc = _scorer(scorer_folder), _scorer(scorer_folder, itm_token="enc")
    images = _images(cls, 1)
    before, after = (one.score(images, TEXTS[:2], [0, 0]).numbers for one in (cls, enc))
    np.testing.assert_array_equal(before["itc"], after["itc"])
    assert np.abs(before["itm"] - after["itm"]).min() > 1e-3


def test_a_text_longer_than_the_model_is_cut(scorer_folder: Path) -> None:
    scorer = _scorer(scorer_folder)
    images = _images(scorer, 1)
    long = scorer.score(images, ["dog " * 500, "dog " * 38, "dog " * 37], [0, 0, 0])
    assert long.numbers["itm"][0] == pytest.approx(
        long.numbers["itm"][1], abs=1e-6
    )  # 40 positions, 2 special
    assert long.numbers["itm"][0] != pytest.approx(long.numbers["itm"][2], abs=1e-6)
    assert long.truncated.tolist() == [True, False, False]


def test_no_texts_and_no_images_are_no_trouble(scorer_folder: Path, captioner_folder: Path) -> None:
    none = np.zeros((0, 3, SIDE, SIDE), np.uint8)
    scores = _scorer(scorer_folder).score(none, [], [])
    assert {name: len(values) for name, values in scores.numbers.items()} == {"itc": 0, "itm": 0}
    assert _captioner(captioner_folder).caption(none, [], [0]) == []


@pytest.mark.parametrize("decoding", ["greedy", "beam"])
def test_captions_without_chance_equal_transformers_generate(
    captioner_folder: Path, decoding: str
) -> None:
    captioner = _captioner(
        captioner_folder,
        decoding=decoding,
        sampling=Sampling(top_p=0, repetition_penalty=1.3, min_tokens=4),
        prompt="a picture of",
        num_beams=3,
    )
    got = captioner.caption(_images(captioner), UIDS, [0])
    tokenizer = BertTokenizer.from_pretrained(captioner_folder)
    model = BlipForConditionalGeneration.from_pretrained(captioner_folder).eval()
    prompt = tokenizer(["a picture of"] * 8, return_tensors="pt", return_token_type_ids=False)
    ids = model.generate(
        pixel_values=_reference_pixels(captioner_folder, 8),
        **prompt,
        max_new_tokens=10,
        min_new_tokens=4,
        repetition_penalty=1.3,
        num_beams=3 if decoding == "beam" else 1,
        do_sample=False,
    )
    wanted = tokenizer.batch_decode(ids[:, 4:], skip_special_tokens=True)
    assert [texts[0] for texts in got] == [text.removeprefix("##") for text in wanted]


def test_a_caption_depends_on_its_image_and_uid_alone(captioner_folder: Path) -> None:
    captioner = _captioner(captioner_folder, prompt="a picture of")
    images = _images(captioner)
    together = captioner.caption(images, UIDS, [0, 1])
    order = [5, 2, 7, 0, 1, 6, 3, 4]
    shuffled = captioner.caption(images[order], [UIDS[i] for i in order], [0, 1])
    assert [shuffled[order.index(i)] for i in range(8)] == together
    alone = [captioner.caption(images[i : i + 1], UIDS[i : i + 1], [0, 1])[0] for i in range(8)]
    assert alone == together
    assert len({text for texts in together for text in texts}) == 16


def test_another_round_another_uid_and_another_k_give_other_captions(
    captioner_folder: Path,
) -> None:
    captioner = _captioner(captioner_folder)
    images = np.repeat(_images(captioner, 1), 2, axis=0)
    first, second = captioner.caption(images, ["a" * 32, "b" * 32], [0, 1])
    later = _captioner(captioner_folder, round_number=1)
    (third,) = later.caption(images[:1], ["a" * 32], [0, 1])
    assert len({*first, *second, *third}) == 6


def test_a_draw_does_not_hang_on_the_draws_beside_it(captioner_folder: Path) -> None:
    captioner = _captioner(captioner_folder)
    images = _images(captioner)
    both = captioner.caption(images, UIDS, [0, 1])
    assert [texts[:1] for texts in both] == captioner.caption(images, UIDS, [0])
    again = captioner.caption(images[2:3], UIDS[2:3], [5, 1])
    assert again[0][1] == both[2][1]
    assert again[0][0] not in both[2]


def test_beams_give_several_captions_an_image(captioner_folder: Path) -> None:
    captioner = _captioner(captioner_folder, decoding="beam", num_beams=4)
    texts = captioner.caption(_images(captioner, 3), UIDS[:3], [0, 1])
    assert [len(set(of_image)) for of_image in texts] == [2, 2, 2]


def test_lengths_are_within_their_bounds(captioner_folder: Path) -> None:
    captioner = _captioner(
        captioner_folder, sampling=Sampling(top_p=1.0, temperature=3.0, min_tokens=5), max_tokens=9
    )
    tokenizer = BertTokenizer.from_pretrained(captioner_folder)
    texts = [t for many in captioner.caption(_images(captioner), UIDS, [0]) for t in many]
    lengths = [len(tokenizer.tokenize(text)) for text in texts]
    assert max(lengths) <= 9
    assert len(set(lengths)) > 1


def test_bfloat16_scores_stay_near_float32(scorer_folder: Path) -> None:
    exact = _scorer(scorer_folder)
    coarse = BlipScorer(fetch(str(scorer_folder), None), device=CPU, dtype=torch.bfloat16)
    images = _images(exact, 2)
    wanted, got = (s.score(images, TEXTS[:2], [0, 1]) for s in (exact, coarse))
    np.testing.assert_allclose(got.numbers["itc"], wanted.numbers["itc"], atol=0.1)
    assert got.numbers["itc"].dtype == np.float32


def test_a_scorers_checkpoint_is_refused_by_the_captioner(scorer_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"BlipForImageTextRetrieval and lacks .*text_decoder"):
        _captioner(scorer_folder)


def test_a_captioners_checkpoint_is_refused_by_the_scorer(captioner_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"BlipForConditionalGeneration and lacks"):
        _scorer(captioner_folder)


def test_a_prompt_and_caption_that_do_not_fit_are_refused(captioner_folder: Path) -> None:
    with pytest.raises(ModelError, match="positions for 40: lower max_tokens"):
        _captioner(captioner_folder, prompt="a picture of", max_tokens=37)


def test_a_processor_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = tiny_blip_scorer(tmp_path / "m")
    _mend(folder, "preprocessor_config.json", size={"height": 64, "width": 64})
    with pytest.raises(ModelError, match="vision tower takes 32 x 32"):
        _scorer(folder)


def test_settings_of_newer_checkpoints_are_found_in_processor_config(tmp_path: Path) -> None:
    folder = tiny_blip_scorer(tmp_path / "m")
    old = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    newer = {
        "image_processor": {**old, "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}
    }
    (folder / "processor_config.json").write_text(json.dumps(newer))
    images = blip_pictures(fetch(str(folder), None), image_size=SIDE)
    white = np.full((1, 3, 2, 2), 255, np.uint8)
    torch.testing.assert_close(images.normalised(white, torch.zeros(1)), torch.ones(1, 3, 2, 2))


def test_enc_is_refused_where_the_vocabulary_has_none(tmp_path: Path) -> None:
    folder = tiny_blip_scorer(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["bos_token_id"] = config["text_config"]["vocab_size"] - 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"no \[ENC\] token"):
        _scorer(folder, itm_token="enc")


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    folder = tiny_blip_scorer(tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        _scorer(folder)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    folder = tiny_blip_scorer(tmp_path / "m")
    _mend(folder, "config.json", image_text_hidden_size=8)
    with pytest.raises(ModelError, match="cannot be loaded"):
        _scorer(folder)
