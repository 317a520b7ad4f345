from __future__ import annotations

from pathlib import Path

import pytest
import torch

from curate.core.errors import ModelError
from curate.core.families import kinds
from curate.models.med_checkpoint import save_med
from curate.models.med_tokenizer import tokenize
from curate.models.pair_checkpoint import load_pair_model
from curate.models.reads_once import ReadsOnce
from curate.pretrain.sections import StartConfig
from curate.pretrain.start import new_model, start_model
from tests.models.med_models import TEXTS, med_tokenizer, pixels
from tests.pretrain.models import SETTINGS, architecture, small_model

every = pytest.mark.parametrize("name", SETTINGS)
able = {name: architecture(name).can for name in SETTINGS}


def that_can(what: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in SETTINGS if what in able[name]])


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    return tokenize(med_tokenizer(), TEXTS, 20)


def test_every_architecture_is_tried() -> None:
    assert {kind for kind, _ in SETTINGS.values()} == set(kinds("architectures"))


@every
@torch.no_grad()
def test_embeddings_have_unit_norm_and_hang_on_their_own_input_alone(name: str) -> None:
    model = small_model(name)
    images = model.project_images(model.encode_images(pixels(5)))
    ids, mask = texts()
    embeds = model.encode_texts(ids, mask)
    torch.testing.assert_close(images.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(embeds.norm(dim=1), torch.ones(5))
    assert images.shape == embeds.shape
    alone = model.project_images(model.encode_images(pixels(5)[2:3]))
    torch.testing.assert_close(alone, images[2:3], atol=1e-5, rtol=1e-4)
    for row in range(5):
        length = int(mask[row].sum())
        one = model.encode_texts(ids[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(one, embeds[row : row + 1], atol=1e-5, rtol=1e-4)


@every
@torch.no_grad()
def test_texts_and_pictures_make_a_difference(name: str) -> None:
    model = small_model(name)
    images = model.project_images(model.encode_images(pixels(5)))
    embeds = model.encode_texts(*texts())
    for side in (images, embeds):
        others = side @ side.T - torch.eye(5)
        assert others.max() < 1 - 1e-5


@pytest.mark.parametrize("name", sorted(SETTINGS.keys() - {"align"}))
@torch.no_grad()
def test_new_weights_tell_pictures_apart(name: str) -> None:
    # a convolutional tower does so with trained norms alone, and so never begins by chance
    torch.manual_seed(0)
    settings = {**SETTINGS[name][1], "vocab_size": len(med_tokenizer())}
    model = new_model(architecture(name), settings).eval()
    images = model.project_images(model.encode_images(pixels(5)))
    assert (images @ images.T - torch.eye(5)).max() < 0.9999


@that_can("match")
@torch.no_grad()
def test_matching_reads_image_and_text(name: str) -> None:
    model = small_model(name)
    tokens = model.encode_images(pixels(5))
    ids, mask = texts()
    logits = model.fuse(ids, mask, tokens)
    order = torch.tensor([1, 2, 3, 4, 0])
    assert logits.shape == (5, 2)
    assert not torch.allclose(model.fuse(ids, mask, tokens, order), logits, atol=1e-4)
    torch.testing.assert_close(
        model.fuse(ids, mask, tokens[order]), model.fuse(ids, mask, tokens, order)
    )


@that_can("write")
@torch.no_grad()
def test_writing_sees_the_image_and_earlier_tokens_alone(name: str) -> None:
    model = small_model(name)
    tokens = model.encode_images(pixels(5))
    ids = texts()[0].clone()
    ids[:, 0] = model.config.dec_token_id
    logits = model.decode_logits(ids, tokens)
    changed = ids.clone()
    changed[:, 4] = 9
    torch.testing.assert_close(model.decode_logits(changed, tokens)[:, :4], logits[:, :4])
    assert not torch.allclose(model.decode_logits(changed, tokens)[:, 4], logits[:, 4], atol=1e-4)
    other = model.decode_logits(ids, tokens, torch.tensor([1, 2, 3, 4, 0]))
    assert not torch.allclose(other, logits, atol=1e-4)


@that_can("unmask")
@torch.no_grad()
def test_unmasking_sees_the_whole_text_and_the_image(name: str) -> None:
    model = small_model(name)
    tokens = model.encode_images(pixels(5))
    ids, mask = texts()
    logits = model.mask_logits(ids, mask, tokens)
    assert logits.shape == (*ids.shape, len(med_tokenizer()))
    changed = ids.clone()
    changed[:, 2] = 9
    assert not torch.allclose(
        model.mask_logits(changed, mask, tokens)[:, 1], logits[:, 1], atol=1e-4
    )
    other = model.mask_logits(ids, mask, tokens.flip(0))
    assert not torch.allclose(other[0], logits[0], atol=1e-4)


@that_can("prefix")
@torch.no_grad()
def test_a_prefix_is_read_both_ways_and_the_rest_forwards(name: str) -> None:
    model = small_model(name)
    tokens = model.encode_images(pixels(5))
    ids = texts()[0]
    prefix = torch.full((5,), 4)
    logits = model.prefix_logits(ids, prefix, tokens)
    inside, behind = ids.clone(), ids.clone()
    inside[:, 3], behind[:, 5] = 9, 9
    assert not torch.allclose(
        model.prefix_logits(inside, prefix, tokens)[:, 1], logits[:, 1], atol=1e-4
    )
    torch.testing.assert_close(model.prefix_logits(behind, prefix, tokens)[:, :5], logits[:, :5])
    none = model.prefix_logits(ids, torch.ones(5, dtype=torch.int64), tokens)
    torch.testing.assert_close(none, model.decode_logits(ids, tokens), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_coca_s_one_pass_is_its_two() -> None:
    model = small_model("coca")
    assert isinstance(model, ReadsOnce)
    tokens = model.encode_images(pixels(5))
    ids, mask = texts()
    states = model.read_texts(ids, mask)
    torch.testing.assert_close(model.embed_read(states), model.encode_texts(ids, mask))
    inputs = ids[:, :-1].clone()
    inputs[:, 0] = model.config.dec_token_id
    written = model.decode_logits(inputs, tokens)
    torch.testing.assert_close(model.caption_read(states, tokens), written, atol=1e-5, rtol=1e-4)


@every
@torch.no_grad()
def test_a_checkpoint_comes_back_whole(name: str, tmp_path: Path) -> None:
    model = small_model(name)
    save_med(tmp_path, model, med_tokenizer())
    again, tokenizer = load_pair_model(tmp_path)
    assert tokenizer.get_vocab() == med_tokenizer().get_vocab()
    ids, mask = texts()
    assert torch.equal(again.encode_texts(ids, mask), model.encode_texts(ids, mask))
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@every
def test_a_larger_picture_keeps_everything_but_interpolated_positions(
    name: str, tmp_path: Path
) -> None:
    model = small_model(name)
    save_med(tmp_path, model, med_tokenizer())
    start = StartConfig.model_validate({"from": tmp_path, "image_size": 64})
    larger = start_model(start, [], architecture(name)).model
    assert larger.config.image_size == 64
    before, after = model.state_dict(), larger.state_dict()
    resized = {n for n in before if before[n].shape != after[n].shape}
    assert all("position" in n for n in resized)
    assert len(resized) == (name != "align")  # EfficientNet has no positions
    assert all(torch.equal(before[n], after[n]) for n in before.keys() - resized)
    picture = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    assert larger.encode_images(picture).isfinite().all()


def test_positions_of_a_flat_grid_stay_flat_and_a_ramp_stays_a_ramp() -> None:
    from curate.pretrain.resize_positions import interpolate

    ramp = torch.arange(4.0).repeat(4, 1).T.reshape(16, 1)
    positions = torch.cat([torch.tensor([[9.0]]), ramp])
    finer = interpolate(positions, 1 + 64, extra=1)
    assert finer[0] == 9
    rows = finer[1:].view(8, 8)
    assert torch.equal(rows[:, 0], rows[:, 7])
    assert (rows[1:, 0] - rows[:-1, 0] > 0).all()
    torch.testing.assert_close(interpolate(finer, 17, extra=1)[0], positions[0])


@every
def test_settings_of_another_model_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="has no setting 'hidden_sise'"):
        new_model(architecture(name), {"vocab_size": 100, "hidden_sise": 3})
