from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from curate.core.errors import ModelError
from curate.models.med import MAX_TEMPERATURE, MIN_TEMPERATURE, MedModel
from curate.models.med_checkpoint import load_med, save_med
from curate.models.med_config import MedConfig
from curate.models.med_pixels import square_pixels
from curate.models.med_text import DecoderCache
from curate.models.med_tokenizer import prompt_ids, tokenize
from curate.models.sampling import KeyedSampler, Sampling
from tests.models.med_models import TEXTS, med_config, med_model, med_tokenizer, pixels


def padded(ids: Tensor, mask: Tensor, extra: int) -> tuple[Tensor, Tensor]:
    more = torch.full((len(ids), extra), 9)  # any token at all: it is masked
    return torch.cat([ids, more], 1), torch.cat([mask, torch.zeros_like(more)], 1)


@pytest.mark.parametrize("tower", ["vit", "efficientnet_lite"])
def test_shapes_and_unit_norms(tower: str) -> None:
    model = med_model(tower=tower)
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    with torch.no_grad():
        images = model.encode_images(pixels(5))
        assert images.shape == (5, 1 + (4 if tower == "vit" else 1), 24)
        assert model.project_images(images).shape == (5, 12)
        assert model.fuse(ids, mask, images).shape == (5, 2)
        assert model.decode_logits(ids, images).shape == (*ids.shape, model.config.vocab_size)
        for embeds in (model.project_images(images), model.encode_texts(ids, mask)):
            torch.testing.assert_close(embeds.norm(dim=-1), torch.ones(5))


@pytest.mark.parametrize(
    ("pool", "evidence"), [("first", "state"), ("mean", "state"), ("mean", "product")]
)
def test_padding_changes_no_score(pool: str, evidence: str) -> None:
    model = med_model(pool=pool, evidence=evidence)
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    wide_ids, wide_mask = padded(ids, mask, 5)
    with torch.no_grad():
        images = model.encode_images(pixels(len(TEXTS)))
        for narrow, wide in (
            (model.encode_texts(ids, mask), model.encode_texts(wide_ids, wide_mask)),
            (model.fuse(ids, mask, images), model.fuse(wide_ids, wide_mask, images)),
        ):
            torch.testing.assert_close(narrow, wide, atol=1e-5, rtol=0)
        alone_ids, alone_mask = tokenize(med_tokenizer(), TEXTS[3:4], 20)
        alone = model.fuse(alone_ids, alone_mask, images[3:4])
        torch.testing.assert_close(alone[0], model.fuse(ids, mask, images)[3], atol=1e-5, rtol=0)


@pytest.mark.parametrize("evidence", ["state", "product"])
def test_image_rows_stand_for_repeated_images(evidence: str) -> None:
    model = med_model(evidence=evidence)
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    rows = torch.tensor([1, 0, 1, 1, 0])
    with torch.no_grad():
        images = model.encode_images(pixels(2))
        direct = model.fuse(ids, mask, images[rows])
        torch.testing.assert_close(model.fuse(ids, mask, images, rows), direct)
        written = model.decode_logits(ids, images[rows])
        torch.testing.assert_close(model.decode_logits(ids, images, rows), written)
        assert (model.fuse(ids, mask, images[1 - rows]) - direct).abs().max() > 1e-3


def test_fusion_sees_enc_whatever_the_first_token() -> None:
    model = med_model()
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    other = ids.clone()
    other[:, 0] = model.config.enc_token_id
    with torch.no_grad():
        images = model.encode_images(pixels(5))
        torch.testing.assert_close(model.fuse(ids, mask, images), model.fuse(other, mask, images))
    assert ids[0, 0] == model.config.cls_token_id


def test_a_new_matcher_with_the_product_can_read_itc_s_cosine() -> None:
    torch.manual_seed(0)
    model = MedModel(med_config(evidence="product", pool="mean")).eval()
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    ids[:, 0] = model.config.enc_token_id  # then the grounded text begins as the plain one
    with torch.no_grad():
        model.itm_head.weight.zero_()
        model.itm_head.weight[1, 24:] = 1 / model.config.projection_size
        model.itm_head.bias.zero_()
        images = model.encode_images(pixels(5))
        cosines = (model.encode_texts(ids, mask) * model.project_images(images)).sum(-1)
        logits = model.fuse(ids, mask, images)
    torch.testing.assert_close(logits[:, 1], cosines)
    assert cosines.std() > 1e-3


def test_the_decoder_cannot_see_what_follows() -> None:
    model = med_model()
    ids, _ = tokenize(med_tokenizer(), TEXTS[:1], 20)
    changed = ids.clone()
    changed[0, 4] = 40
    with torch.no_grad():
        images = model.encode_images(pixels(1))
        before, after = model.decode_logits(ids, images), model.decode_logits(changed, images)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert (before[:, 4] - after[:, 4]).abs().max() > 1e-3


def test_the_cache_changes_nothing() -> None:
    model = med_model()
    ids, _ = tokenize(med_tokenizer(), TEXTS[:1], 20)
    with torch.no_grad():
        images = model.encode_images(pixels(1))
        whole = model.decode_logits(ids, images)
        cache = DecoderCache()
        steps = [model.decode_logits(ids[:, :3], images, cache=cache)]
        for position in range(3, ids.shape[1]):
            steps.append(model.decode_logits(ids[:, position : position + 1], images, cache=cache))
        torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-5, rtol=1e-4)
        assert cache.num_tokens == ids.shape[1]
        with pytest.raises(ValueError, match="one token at a time"):
            model.decode_logits(ids[:, :2], images, cache=cache)


def test_generation_is_greedy_decoding_step_by_step() -> None:
    model, tokenizer = med_model(), med_tokenizer()
    prompt = prompt_ids(tokenizer, "a red")
    banned = list(model.config.special_ids)
    with torch.no_grad():
        images = model.encode_images(pixels(3))
        written = model.generate(images, prompt, 6)
        ids = prompt.expand(3, -1)
        for _ in range(written.shape[1]):
            logits = model.decode_logits(ids, images)[:, -1]
            logits[:, banned] = -torch.inf
            ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], 1)
    for row in range(3):
        ended = (written[row] == model.config.sep_token_id).long().argmax().item()
        length = ended + 1 if model.config.sep_token_id in written[row] else written.shape[1]
        assert written[row, :length].tolist() == ids[row, 3 : 3 + length].tolist()
        assert (written[row, length:] == model.config.pad_token_id).all()


def test_generation_ends_at_sep_and_not_before_min_tokens() -> None:
    model = med_model()
    sep, pad = model.config.sep_token_id, model.config.pad_token_id

    def end_when_allowed(logits_BV: Tensor, step: int) -> Tensor:
        choice = torch.full((len(logits_BV),), 30)
        wants = torch.tensor([True, step >= 3])
        return torch.where(wants & logits_BV[:, sep].isfinite(), sep, choice)

    images = model.encode_images(pixels(2))
    prompt = prompt_ids(med_tokenizer(), "")
    written = model.generate(images, prompt, 9, end_when_allowed, min_tokens=2)
    assert written.tolist() == [[30, 30, sep, pad], [30, 30, 30, sep]]
    with pytest.raises(ValueError, match="20 positions"):
        model.generate(images, prompt, 21)


def test_keyed_sampling_writes_the_same_caption_in_any_batch() -> None:
    model, tokenizer = med_model(), med_tokenizer()
    prompt = prompt_ids(tokenizer, "")

    def write(rows: list[int]) -> list[list[int]]:
        images = model.encode_images(pixels(4)[rows])
        sampler = KeyedSampler(
            [row + 100 for row in rows],
            Sampling(top_p=0.95),
            prompt_ids=prompt.tolist(),
            end_id=model.config.sep_token_id,
        )
        written = model.generate(images, prompt, 8, sampler).tolist()
        return [[token for token in row if token != model.config.pad_token_id] for row in written]

    together = write([0, 1, 2, 3])
    assert write([3, 1]) == [together[3], together[1]]
    assert len({tuple(row) for row in together}) > 1


def test_a_folder_gives_back_the_same_model(tmp_path: Path) -> None:
    model, tokenizer = med_model(), med_tokenizer()
    save_med(tmp_path, model, tokenizer)
    assert {file.name for file in tmp_path.iterdir()} >= {"config.json", "model.safetensors"}
    read, read_tokenizer = load_med(tmp_path)
    assert read.config.to_dict() == model.config.to_dict() | {
        key: read.config.to_dict()[key]
        for key in ("architectures", "dtype", "_name_or_path")
        if key in read.config.to_dict()
    }
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(read.state_dict()[name], weight, atol=0, rtol=0)
    ids, _ = tokenize(read_tokenizer, TEXTS, 20)
    assert torch.equal(ids, tokenize(tokenizer, TEXTS, 20)[0])


def test_half_precision_on_disk_reads_as_full(tmp_path: Path) -> None:
    model = med_model()
    save_med(tmp_path / "half", model, med_tokenizer(), dtype="float16")
    save_med(tmp_path / "full", model, med_tokenizer())
    assert next(model.parameters()).dtype == torch.float32
    read, _ = load_med(tmp_path / "half")
    assert {weight.dtype for weight in read.parameters()} == {torch.float32}
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.7 * sizes[1]


def test_a_folder_that_is_no_med_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"it has no config\.json"):
        load_med(tmp_path)
    save_med(tmp_path, med_model(), med_tokenizer())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"projection_size": 99}))
    with pytest.raises(ModelError, match=r"not those of its config\.json"):
        load_med(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "blip"}')
    with pytest.raises(ModelError, match="family 'blip'"):
        load_med(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="no JSON"):
        load_med(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"it has no model\.safetensors"):
        load_med(tmp_path)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_temperature_is_clamped(scale: float) -> None:
    model = med_model()
    with torch.no_grad():
        model.log_logit_scale.fill_(torch.tensor(scale).log())
    model.clamp_temperature()
    wanted = 1 / MAX_TEMPERATURE if scale < 1 else 1 / MIN_TEMPERATURE
    assert model.logit_scale.item() == pytest.approx(wanted, rel=1e-5)


def test_a_new_model_ignores_images_until_it_learns_to_look() -> None:
    torch.manual_seed(0)
    model = MedModel(med_config()).eval()
    ids, mask = tokenize(med_tokenizer(), TEXTS, 20)
    with torch.no_grad():
        grounded = model.text.encode(ids, mask, model.encode_images(pixels(5)))
    assert torch.equal(grounded, model.text.encode(ids, mask))
    model.fuse(ids, mask, model.encode_images(pixels(5))).sum().backward()
    projection = model.text.layers[0].image_attention.attention.output.weight
    assert projection.grad is not None
    assert projection.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image_tower": "resnet"}, "efficientnet_lite, vit"),
        ({"text_pool": "last"}, "first, mean"),
        ({"itm_evidence": "none"}, "state, product"),
        ({"hidden_size": 30, "num_attention_heads": 4}, "not a multiple"),
    ],
)
def test_impossible_configs_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MedConfig(**settings)


def test_pictures_are_squashed_and_squares_left_alone() -> None:
    picture = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8)
    assert torch.equal(square_pixels(picture, 32), picture.permute(2, 0, 1))
    wide = torch.zeros(20, 40, 3, dtype=torch.uint8)
    wide[:, 20:] = 200
    square = square_pixels(wide, 16)
    assert square.shape == (3, 16, 16)
    assert square[:, :, :7].max() == 0
    assert square[:, :, 9:].min() == 200


def test_bytes_are_normalised_by_the_config() -> None:
    model = med_model()
    grey = torch.full((1, 3, 32, 32), 127, dtype=torch.uint8)
    seen: list[Tensor] = []
    model.image_tower.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.encode_images(grey)
    model.encode_images(grey + 64)
    assert seen[0].abs().max() == 0
    torch.testing.assert_close(seen[1], torch.full((1, 3, 32, 32), 0.5))
