"""What is exported computes the same as what was trained, in transformers' own classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    CLIPModel,
    SiglipModel,
)

from curate.models.base import Writing
from curate.models.blip import BlipCaptioner, BlipScorer
from curate.models.checkpoints import Checkpoint
from curate.models.clip import ClipScorer
from curate.models.dual_scorer import DualScorer
from curate.models.med_tokenizer import tokenize
from curate.models.pair_model import PairModel, normalised
from curate.models.siglip import SiglipScorer
from tests.models.med_models import TEXTS, med_tokenizer, pixels
from tests.pretrain.models import SETTINGS, architecture, small_model

CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def exported(name: str, folder: Path) -> tuple[PairModel, dict[str, Path]]:
    model = small_model(name)
    return model, architecture(name).export(model, med_tokenizer(), folder)


def inputs(model: PairModel) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    return normalised(pixels(5), model.config, torch.zeros(1)), ids, mask


@torch.no_grad()
def test_clip(tmp_path: Path) -> None:
    model, folders = exported("clip", tmp_path)
    theirs = CLIPModel.from_pretrained(folders["CLIPModel"]).eval()
    values, ids, mask = inputs(model)
    out = theirs(pixel_values=values, input_ids=ids, attention_mask=mask)
    images = model.project_images(model.encode_images(pixels(5)))
    texts = model.encode_texts(ids, mask)
    torch.testing.assert_close(out.image_embeds, images, **CLOSE)
    torch.testing.assert_close(out.text_embeds, texts, **CLOSE)
    logits = model.logit_scale * images @ texts.T
    torch.testing.assert_close(out.logits_per_image, logits, **CLOSE)


@torch.no_grad()
def test_siglip(tmp_path: Path) -> None:
    model, folders = exported("siglip", tmp_path)
    theirs = SiglipModel.from_pretrained(folders["SiglipModel"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(folders["SiglipModel"])
    values, ids, mask = inputs(model)
    padded = tokenizer(list(TEXTS), padding="max_length", truncation=True, return_tensors="pt")
    assert padded["input_ids"].shape == (5, 20)
    out = theirs(pixel_values=values, input_ids=padded["input_ids"])
    images = model.project_images(model.encode_images(pixels(5)))
    logits = model.logit_scale * images @ model.encode_texts(ids, mask).T + model.logit_bias
    torch.testing.assert_close(out.logits_per_image, logits, **CLOSE)


@torch.no_grad()
def test_blip_s_filter(tmp_path: Path) -> None:
    model, folders = exported("blip", tmp_path)
    theirs = BlipForImageTextRetrieval.from_pretrained(folders["BlipForImageTextRetrieval"]).eval()
    values, ids, mask = inputs(model)
    tokens = model.encode_images(pixels(5))
    cosines = theirs(ids, values, use_itm_head=False, attention_mask=mask).itm_score
    ours = model.project_images(tokens) @ model.encode_texts(ids, mask).T
    torch.testing.assert_close(cosines, ours, **CLOSE)
    ids[:, 0] = model.config.enc_token_id
    logits = theirs(ids, values, use_itm_head=True, attention_mask=mask).itm_score
    torch.testing.assert_close(logits, model.fuse(ids, mask, tokens), **CLOSE)


@torch.no_grad()
def test_blip_s_captioner(tmp_path: Path) -> None:
    model, folders = exported("blip", tmp_path)
    name = "BlipForConditionalGeneration"
    theirs = BlipForConditionalGeneration.from_pretrained(folders[name]).eval()
    values, ids, mask = inputs(model)
    ids[:, 0] = model.config.dec_token_id
    out = theirs(pixel_values=values, input_ids=ids, attention_mask=mask, labels=ids)
    ours = model.decode_logits(ids, model.encode_images(pixels(5)))
    real = mask.bool()
    torch.testing.assert_close(out.logits[real], ours[real], **CLOSE)


def test_our_captioner_and_scorer_load_an_exported_blip(tmp_path: Path) -> None:
    model, folders = exported("blip", tmp_path)
    device = torch.device("cpu")
    pictures = pixels(3).numpy()
    checkpoints = {name: Checkpoint(name, folder, "0" * 64) for name, folder in folders.items()}
    captioner = BlipCaptioner(
        checkpoints["BlipForConditionalGeneration"],
        Writing(max_tokens=6),
        device=device,
        dtype=torch.float32,
    )
    written = captioner.caption(pictures, ["a", "b", "c"], [0])
    assert [len(captions) for captions in written] == [1, 1, 1]
    scorer = BlipScorer(
        checkpoints["BlipForImageTextRetrieval"],
        device=device,
        dtype=torch.float32,
        itm_token="enc",
    )
    scores = scorer.score(pictures, list(TEXTS[:3]), [0, 1, 2])
    with torch.no_grad():
        tokens = model.encode_images(pixels(3))
        ids, mask = tokenize(med_tokenizer(), TEXTS[:3], 20)
        itc = (model.project_images(tokens) * model.encode_texts(ids, mask)).sum(1)
        itm = model.fuse(ids, mask, tokens).softmax(1)[:, 1]
    np.testing.assert_allclose(scores.numbers["itc"], itc.numpy(), atol=1e-4)
    np.testing.assert_allclose(scores.numbers["itm"], itm.numpy(), atol=1e-4)


@pytest.mark.parametrize("name", sorted(SETTINGS.keys() - {"clip", "siglip", "blip"}))
def test_what_transformers_has_not_is_not_exported(name: str, tmp_path: Path) -> None:
    assert exported(name, tmp_path)[1] == {}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "network", "scorer"),
    [("clip", "CLIPModel", ClipScorer), ("siglip", "SiglipModel", SiglipScorer)],
)
def test_our_scorers_load_an_exported_dual_encoder(
    name: str, network: str, scorer: type[DualScorer], tmp_path: Path
) -> None:
    model, folders = exported(name, tmp_path)
    checkpoint = Checkpoint(network, folders[network], "0" * 64)
    loaded = scorer(checkpoint, device=torch.device("cpu"), dtype=torch.float32)
    scored = loaded.score(pixels(3).numpy(), list(TEXTS[:3]), [2, 0, 1])
    with torch.no_grad():
        images = model.project_images(model.encode_images(pixels(3)))
        texts = model.encode_texts(*tokenize(med_tokenizer(), TEXTS[:3], 20))
    itc = (images[[2, 0, 1]] * texts).sum(1)
    np.testing.assert_allclose(scored.numbers["itc"], itc.numpy(), atol=1e-4)
    assert not scored.truncated.any()
    rgb = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    assert loaded.prepare(rgb).shape == (3, 32, 32)
