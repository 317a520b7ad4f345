from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from curate.core.errors import ModelError
from curate.models.med import MedModel
from curate.models.med_checkpoint import quiet_transformers, save_med
from curate.models.med_tokenizer import build_tokenizer, tokenize, word_pieces
from curate.pretrain.config import StartConfig
from curate.pretrain.start import start_model as started
from tests.models.med_models import TEXTS, med_model, med_tokenizer

VIT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}


def start_model(config: StartConfig, texts: list[str]) -> tuple[MedModel, PreTrainedTokenizerFast]:
    found = started(config, texts)
    return found.model, found.tokenizer


SMALL = {"image_tower": "vit", "tower_config": {**VIT, "patch_size": 16}, "image_size": 32}


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """Write a small BERT with random weights and a tokenizer."""
    tokenizer = build_tokenizer([*word_pieces(TEXTS, 1000), "zebra"])
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=30,
    )
    torch.manual_seed(0)
    model = BertModel(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    with quiet_transformers():
        model.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def test_the_text_encoder_is_the_bert_it_starts_from(bert: Path) -> None:
    start = StartConfig(text={"path": bert}, model={**SMALL, "max_text_tokens": 20})
    model, tokenizer = start_model(start, TEXTS)
    with quiet_transformers():
        reference = BertModel.from_pretrained(bert).eval()
    old = build_tokenizer([*word_pieces(TEXTS, 1000), "zebra"])
    ids, mask = tokenize(tokenizer, TEXTS, 20)
    old_ids, old_mask = tokenize(old, TEXTS, 20)
    assert torch.equal(mask, old_mask)
    model.eval()
    with torch.no_grad():
        ours = model.text.encode(ids, mask)
        theirs = reference(input_ids=old_ids, attention_mask=old_mask).last_hidden_state
        looking = model.text.encode(ids, mask, torch.randn(5, 4, 24))
    torch.testing.assert_close(ours[mask.bool()], theirs[mask.bool()], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(looking, ours)


def test_layers_and_vocabulary_are_chosen(bert: Path) -> None:
    characters = len(word_pieces([], 1000))
    start = StartConfig(
        text={"path": bert, "layers": (2, 0)},
        vocabulary=characters + 2,
        model={**SMALL, "max_text_tokens": 20},
    )
    model, tokenizer = start_model(start, ["zebra zebra dog", "zebra dog boat"])
    assert model.config.num_hidden_layers == 2
    assert tokenizer.convert_ids_to_tokens([7 + characters, 8 + characters]) == ["zebra", "dog"]
    with quiet_transformers():
        reference = BertModel.from_pretrained(bert)
    old = build_tokenizer([*word_pieces(TEXTS, 1000), "zebra"]).convert_tokens_to_ids("zebra")
    words = reference.embeddings.word_embeddings.weight
    assert torch.equal(model.text.words.weight[7 + characters], words[old])
    wide = reference.encoder.layer[2].intermediate.dense.weight
    assert torch.equal(model.text.layers[0].widen.weight, wide)


def test_enc_and_dec_begin_as_cls(tmp_path: Path, bert: Path) -> None:
    model, tokenizer = start_model(
        StartConfig(text={"path": bert}, model={**SMALL, "max_text_tokens": 20}), TEXTS
    )
    cls, enc, dec = (
        model.text.words.weight[id_]
        for id_ in tokenizer.convert_tokens_to_ids(["[CLS]", "[ENC]", "[DEC]"])
    )
    assert not torch.equal(cls, model.text.words.weight[0])
    # this BERT's vocabulary holds [ENC] and [DEC] of its own; MiniLM's does not
    assert enc.shape == dec.shape == cls.shape


def test_a_whole_checkpoint_or_its_tower(tmp_path: Path) -> None:
    other = med_model(seed=3)
    save_med(tmp_path, other, med_tokenizer())
    model, tokenizer = start_model(StartConfig.model_validate({"from": tmp_path}), [])
    assert tokenizer.get_vocab() == med_tokenizer().get_vocab()
    assert torch.equal(model.text.words.weight, other.text.words.weight)
    part = {"kind": "med", "path": tmp_path}
    layers = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model, _ = start_model(StartConfig(image=part, vocabulary=120, model=layers), TEXTS)
    assert torch.equal(model.image_adapter.project.weight, other.image_adapter.project.weight)
    assert len(model.text.layers) == 1
    for name, weight in other.image_tower.state_dict().items():
        assert torch.equal(model.image_tower.state_dict()[name], weight)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, bert: Path) -> None:
    save_file({"stem.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    image = {"kind": "efficientnet_lite0", "path": tmp_path / "other.safetensors"}
    with pytest.raises(ModelError, match="does not hold EfficientNet-Lite0's weights"):
        start_model(StartConfig(image=image, vocabulary=120), TEXTS)
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        start_model(StartConfig(image={**image, "path": tmp_path / "none"}, vocabulary=120), TEXTS)
    with pytest.raises(ModelError, match="layers 0 to 2"):
        start_model(StartConfig(text={"path": bert, "layers": (3,)}), TEXTS)
    with pytest.raises(ModelError, match=r"start\.model"):
        start_model(StartConfig(vocabulary=120, model={"hidden_size": 30}), TEXTS)
