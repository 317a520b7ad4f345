from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curate.core.errors import ModelError
from curate.models.base import Writing
from curate.models.checkpoints import fetch
from curate.models.coca import CocaModel
from curate.models.coca_family import CocaCaptioner, CocaScorer
from curate.models.med import MedModel
from curate.models.med_family import MedCaptioner, MedScorer
from curate.models.med_pixels import square_pixels
from curate.models.med_text import DecoderCache
from curate.models.med_tokenizer import load_tokenizer, prompt_ids, tokenize
from curate.models.sampling import Sampling
from tests.models.checkpoints import pictures, tiny_coca, tiny_med

CPU = torch.device("cpu")
UIDS = [f"{n:032x}" for n in range(8)]
TEXTS = ["a dog", "a small red house under the old tree with two birds", "", "zzz 123"]


FAMILIES: dict[str, tuple[Any, Any, Any, Any]] = {
    "med": (tiny_med, MedModel, MedCaptioner, MedScorer),
    "coca": (tiny_coca, CocaModel, CocaCaptioner, CocaScorer),
}


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = FAMILIES[request.param][0](tmp_path_factory.mktemp("models") / request.param)
    return made


def _classes(folder: Path) -> tuple[Any, Any, Any]:
    """Return network, captioner and scorer of a checkpoint."""
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    return FAMILIES[kind][1:]


def _captioner(folder: Path, **writing: Any) -> MedCaptioner:
    settings = Writing(**{"max_tokens": 10, **writing})
    captioner = _classes(folder)[1]
    made = captioner(fetch(str(folder), None), settings, device=CPU, dtype="float32")
    assert isinstance(made, MedCaptioner)
    return made


def _scorer(folder: Path, **settings: Any) -> Any:
    return _classes(folder)[2](fetch(str(folder), None), device=CPU, dtype="float32", **settings)


def _images(model: Any, count: int = 8) -> np.ndarray:
    return np.stack([model.prepare(picture) for picture in pictures(count)])


def test_scores_equal_plain_calls_of_the_network(folder: Path) -> None:
    scorer = _scorer(folder, texts_per_batch=3)
    pairs = [(image, text) for image in range(4) for text in TEXTS]
    got = scorer.score(
        _images(scorer, 4), [text for _, text in pairs], [image for image, _ in pairs]
    )
    model = _classes(folder)[0].from_pretrained(folder).eval()
    tokenizer = load_tokenizer(folder)
    assert set(got.numbers) == set(scorer.gives)
    for place, (image, text) in enumerate(pairs):
        pixels = square_pixels(torch.from_numpy(pictures(4)[image]), model.config.image_size)
        ids, mask = tokenize(tokenizer, [text], model.config.max_text_tokens)
        with torch.no_grad():
            tokens = model.encode_images(pixels[None])
            wanted = {"itc": (model.project_images(tokens) * model.encode_texts(ids, mask)).sum()}
            if "itm" in scorer.gives:
                wanted["itm"] = model.fuse(ids, mask, tokens).softmax(-1)[0, 1]
        for name, number in wanted.items():
            assert got.numbers[name][place] == pytest.approx(number.item(), abs=1e-5)
    assert np.ptp(got.numbers[scorer.gives[-1]]) > 0.1, (
        "all pairs score alike: the comparison shows nothing"
    )


def test_scores_do_not_depend_on_the_company(folder: Path) -> None:
    scorer = _scorer(folder)
    images, texts, images_of = _images(scorer, 4), TEXTS * 2, [0, 1, 2, 3, 3, 2, 1, 0]
    together = scorer.score(images, texts, images_of)
    for place, (text, image) in enumerate(zip(texts, images_of, strict=True)):
        alone = scorer.score(images[image : image + 1], [text], [0])
        for name in scorer.gives:
            assert alone.numbers[name][0] == pytest.approx(together.numbers[name][place], abs=1e-5)


def test_a_text_longer_than_the_model_is_cut(folder: Path) -> None:
    scorer = _scorer(folder)
    long = scorer.score(_images(scorer, 1), ["dog " * 90, "dog " * 22, "dog " * 21], [0, 0, 0])
    whole, cut, shorter = long.numbers[scorer.gives[-1]]
    assert whole == pytest.approx(cut, abs=1e-6)  # 24 positions, 2 special
    assert whole != pytest.approx(shorter, abs=1e-6)


def test_greedy_captions_equal_the_networks_own(folder: Path) -> None:
    captioner = _captioner(
        folder, decoding="greedy", sampling=Sampling(top_p=0), prompt="a picture"
    )
    got = captioner.caption(_images(captioner), UIDS, [0])
    model, tokenizer = _classes(folder)[0].from_pretrained(folder).eval(), load_tokenizer(folder)
    squares = [square_pixels(torch.from_numpy(p), model.config.image_size) for p in pictures(8)]
    with torch.no_grad():
        tokens = model.encode_images(torch.stack(squares))
        ids = model.generate(tokens, prompt_ids(tokenizer, "a picture"), 10)
    wanted = tokenizer.batch_decode(ids.tolist(), skip_special_tokens=True)
    assert [texts[0] for texts in got] == [text.strip().removeprefix("##") for text in wanted]


def test_a_caption_depends_on_its_image_and_uid_alone(folder: Path) -> None:
    captioner = _captioner(folder, prompt="a picture of")
    images = _images(captioner)
    together = captioner.caption(images, UIDS, [0, 1])
    order = [5, 2, 7, 0, 1, 6, 3, 4]
    shuffled = captioner.caption(images[order], [UIDS[i] for i in order], [0, 1])
    assert [shuffled[order.index(i)] for i in range(8)] == together
    alone = [captioner.caption(images[i : i + 1], UIDS[i : i + 1], [0, 1])[0] for i in range(8)]
    assert alone == together
    assert len({text for texts in together for text in texts}) == 16


def test_a_draw_does_not_hang_on_the_draws_beside_it(folder: Path) -> None:
    captioner = _captioner(folder)
    images = _images(captioner)
    both = captioner.caption(images, UIDS, [0, 1])
    assert [texts[:1] for texts in both] == captioner.caption(images, UIDS, [0])
    again = captioner.caption(images[2:3], UIDS[2:3], [5, 1])
    assert again[0][1] == both[2][1]
    assert again[0][0] not in both[2]


def test_another_round_draws_other_captions(folder: Path) -> None:
    first, second = _captioner(folder), _captioner(folder, round_number=1)
    images = _images(first)
    assert first.caption(images, UIDS, [0]) != second.caption(images, UIDS, [0])


def test_no_texts_and_no_images_are_no_trouble(folder: Path) -> None:
    none = np.zeros((0, 3, 32, 32), np.uint8)
    scorer = _scorer(folder)
    scored = scorer.score(none, [], [])
    assert [len(scored.numbers[name]) for name in scorer.gives] == [0] * len(scorer.gives)
    assert _captioner(folder).caption(none, [], [0]) == []


def test_a_convolutional_tower_stays_in_float32_unless_told_otherwise(tmp_path: Path) -> None:
    folder = tiny_med(tmp_path / "m", tower="efficientnet_lite")
    auto = MedScorer(fetch(str(folder), None), device=CPU, dtype="auto")
    told = MedScorer(fetch(str(folder), None), device=CPU, dtype="bfloat16")
    assert (auto.model.dtype, told.model.dtype) == (torch.float32, torch.bfloat16)
    images = _images(auto, 2)
    wanted, got = (s.score(images, TEXTS[:2], [0, 1]) for s in (auto, told))
    np.testing.assert_allclose(got.numbers["itc"], wanted.numbers["itc"], atol=0.1)


def test_half_precision_files_are_computed_in_float32(folder: Path, tmp_path: Path) -> None:
    _classes(folder)[0].from_pretrained(folder).half().save_pretrained(tmp_path)
    load_tokenizer(folder).save_pretrained(tmp_path)
    assert _scorer(tmp_path).model.dtype == torch.float32


def test_there_is_no_beam_search(folder: Path) -> None:
    with pytest.raises(ModelError, match="no beam search"):
        _captioner(folder, decoding="beam")


def test_a_prompt_and_caption_that_do_not_fit_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="has room for 25: lower max_tokens"):
        _captioner(folder, prompt="a picture of", max_tokens=22)
    captioner = _captioner(
        folder, prompt="a picture of", max_tokens=21, sampling=Sampling(min_tokens=21)
    )
    assert captioner.caption(_images(captioner, 1), UIDS[:1], [0])[0][0]


def test_missing_weights_are_named(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["text_projection.weight"]
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"Model needs \(first: text_projection\.weight\)"):
        _scorer(tmp_path)


def test_coca_writes_the_same_with_and_without_a_cache(tmp_path: Path) -> None:
    model = CocaModel.from_pretrained(tiny_coca(tmp_path / "coca")).eval()
    ids = torch.randint(7, 40, (3, 9), generator=torch.Generator().manual_seed(1))
    rows = torch.tensor([1, 0, 1])
    with torch.no_grad():
        images = model.encode_images(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
        wanted = model.decode_logits(ids, images, rows)
        cache = DecoderCache()
        steps = [model.decode_logits(ids[:, :3], images, rows, cache=cache)]
        for place in range(3, 9):
            one = ids[:, place : place + 1]
            steps.append(model.decode_logits(one, images, rows, cache=cache))
    torch.testing.assert_close(torch.cat(steps, 1), wanted, atol=1e-5, rtol=1e-5)
    assert cache.num_tokens == 9
    with pytest.raises(ValueError, match="one token at a time"):
        model.decode_logits(ids[:, :2], images, rows, cache=cache)
