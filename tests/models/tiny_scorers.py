"""Tiny checkpoints of every family of scorers, with random weights and real tokenizers."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers as tf
from tokenizers import pre_tokenizers

from tests.models.checkpoints import SIDE, SPECIAL, WORDS

SIZE = {"height": SIDE, "width": SIDE}
CROP = {"size": {"shortest_edge": SIDE}, "crop_size": SIZE}
TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
TEXT |= {"num_attention_heads": 4}
VISION = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2}
VISION |= {"num_attention_heads": 2, "image_size": SIDE, "patch_size": 8}
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


def bert_tokenizer() -> Any:
    return tf.BertTokenizer(vocab={word: i for i, word in enumerate((*SPECIAL, *WORDS))})


def clip_tokenizer() -> Any:
    pieces = [*BYTES, *(f"{piece}</w>" for piece in BYTES), "do", "dog</w>"]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    return tf.CLIPTokenizer(vocab=vocab, merges=[("d", "o"), ("do", "g</w>")])


def roberta_tokenizer() -> Any:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *BYTES, "do", "dog"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    return tf.RobertaTokenizer(vocab=vocab, merges=[("d", "o"), ("do", "g")])


def xlm_roberta_tokenizer() -> Any:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *(f"▁{word}" for word in WORDS), "▁", *WORDS]
    vocab = [(piece, -float(i)) for i, piece in enumerate(dict.fromkeys(pieces))]
    return tf.XLMRobertaTokenizer(vocab=[*vocab, ("<mask>", 0.0)])


def siglip_tokenizer(folder: Path) -> Any:
    """Return SigLIP's own tokenizer: sentencepiece, without punctuation, lower-cased."""
    said, model = [" ".join(WORDS[:30]), " ".join("abcdefghijklmnopqrstuvwxyz")], io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(said * 4),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        **{"bos_id": -1, "eos_id": 1, "pad_id": 0, "unk_id": 2, "minloglevel": 9},
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spiece.model"
    path.write_bytes(model.getvalue())
    return tf.SiglipTokenizer(str(path))


def siglip2_tokenizer() -> Any:
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁"]
    pieces += [chr(code) for code in range(33, 127)] + [f"<0x{byte:02X}>" for byte in range(256)]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    return tf.Siglip2Tokenizer(vocab=vocab, merges=[], padding_side="right")


def _write(folder: Path, model: Any, tokenizer: Any, processor: Any, *, seed: int) -> Path:
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 or "embedding" in name:
                weight.normal_(0, 0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def tiny_clip(folder: Path) -> Path:
    tokenizer = clip_tokenizer()
    config = tf.CLIPConfig(
        text_config={
            **TEXT,
            **{"vocab_size": len(tokenizer), "max_position_embeddings": 40},
            **{"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id},
        },
        vision_config=VISION,
        projection_dim=16,
    )
    return _write(
        folder, tf.CLIPModel(config), tokenizer, tf.CLIPImageProcessorPil(**CROP), seed=11
    )


def tiny_chinese_clip(folder: Path) -> Path:
    tokenizer = bert_tokenizer()
    config = tf.ChineseCLIPConfig(
        text_config={**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 64},
        vision_config=VISION,
        projection_dim=16,
    )
    processor = tf.ChineseCLIPImageProcessorPil(size=SIZE, do_center_crop=False)
    return _write(folder, tf.ChineseCLIPModel(config), tokenizer, processor, seed=12)


def tiny_altclip(folder: Path) -> Path:
    tokenizer = xlm_roberta_tokenizer()
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 90, "project_dim": 20}
    config = tf.AltCLIPConfig(text_config={**TEXT, **text}, vision_config=VISION, projection_dim=16)
    return _write(
        folder, tf.AltCLIPModel(config), tokenizer, tf.CLIPImageProcessorPil(**CROP), seed=13
    )


def tiny_align(folder: Path) -> Path:
    tokenizer = bert_tokenizer()
    config = tf.AlignConfig(
        text_config={**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 80},
        vision_config={
            **{"image_size": 600, "width_coefficient": 0.5, "depth_coefficient": 0.3},
            **{"hidden_dim": 16, "kernel_sizes": [3, 3], "in_channels": [32, 16]},
            **{"out_channels": [16, 24], "strides": [1, 2], "num_block_repeats": [1, 1]},
            **{"expand_ratios": [1, 2], "depthwise_padding": []},
        },
        projection_dim=16,
    )
    processor = tf.EfficientNetImageProcessorPil(
        size={"height": 40, "width": 40},
        crop_size=SIZE,
        **{"do_center_crop": True, "rescale_offset": True, "rescale_factor": 1 / 127.5},
        **{"do_normalize": False, "include_top": False, "resample": 2},
    )
    return _write(folder, tf.AlignModel(config), tokenizer, processor, seed=14)


def tiny_siglip(folder: Path) -> Path:
    tokenizer = siglip_tokenizer(folder)
    config = tf.SiglipConfig(
        text_config={**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 20},
        vision_config={**VISION, "hidden_size": 32},
    )
    processor = tf.SiglipImageProcessorPil(size=SIZE)
    return _write(folder, tf.SiglipModel(config), tokenizer, processor, seed=15)


def tiny_siglip2(folder: Path) -> Path:
    tokenizer = siglip2_tokenizer()
    vision = {key: value for key, value in VISION.items() if key != "image_size"}
    config = tf.Siglip2Config(
        text_config={**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 24},
        vision_config={**vision, "hidden_size": 32, "num_patches": 16},
    )
    processor = tf.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=20)
    return _write(folder, tf.Siglip2Model(config), tokenizer, processor, seed=16)


def tiny_flava(folder: Path) -> Path:
    tokenizer = bert_tokenizer()
    config = tf.FlavaConfig(
        text_config={**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 30},
        image_config={**VISION, "hidden_size": 32, "vocab_size": 8},
        multimodal_config=TEXT,
        **{"init_codebook": False, "hidden_size": 32, "projection_dim": 16},
    )
    processor = tf.FlavaImageProcessorPil(size=SIZE, crop_size=SIZE)
    return _write(folder, tf.FlavaForPreTraining(config), tokenizer, processor, seed=17)


def tiny_blip_2(folder: Path) -> Path:
    tokenizer = bert_tokenizer()
    qformer = {"vocab_size": len(tokenizer), "max_position_embeddings": 50}
    config = tf.Blip2Config(
        vision_config=VISION,
        qformer_config={
            **{**TEXT, **qformer, "encoder_hidden_size": VISION["hidden_size"]},
            "use_qformer_text_input": True,
        },
        text_config={"model_type": "opt", "hidden_size": 16, "num_hidden_layers": 1},
        **{"num_query_tokens": 4, "image_text_hidden_size": 16},
    )
    model = tf.Blip2ForImageTextRetrieval(config)
    with torch.no_grad():
        model.query_tokens.normal_()
    return _write(folder, model, tokenizer, tf.BlipImageProcessorPil(size=SIZE), seed=18)


def tiny_vilt(folder: Path) -> Path:
    tokenizer = bert_tokenizer()
    config = tf.ViltConfig(
        **TEXT,
        **{"vocab_size": len(tokenizer), "max_position_embeddings": 24},
        **{"image_size": SIDE, "patch_size": 8},
    )
    model = tf.ViltForImageAndTextRetrieval(config)
    processor = tf.ViltImageProcessorPil(size={"shortest_edge": SIDE}, size_divisor=8)
    return _write(folder, model, tokenizer, processor, seed=19)


def tiny_bridgetower(folder: Path) -> Path:
    tokenizer = roberta_tokenizer()
    vision = {"hidden_size": 64, "num_hidden_layers": 3, "image_size": SIDE, "patch_size": 8}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 80, "num_hidden_layers": 3}
    config = tf.BridgeTowerConfig(
        text_config={**TEXT, **text, "intermediate_size": 40},
        vision_config=vision,
        **{"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2},
    )
    model = tf.BridgeTowerForImageAndTextRetrieval(config)
    processor = tf.BridgeTowerImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"shortest_edge": SIDE}, size_divisor=8
    )
    return _write(folder, model, tokenizer, processor, seed=20)


#: Every family of scorers but BLIP and MED, whose checkpoints other tests share.
TINY: Mapping[str, Callable[[Path], Path]] = {
    "clip": tiny_clip,
    "chinese_clip": tiny_chinese_clip,
    "altclip": tiny_altclip,
    "align": tiny_align,
    "siglip": tiny_siglip,
    "siglip2": tiny_siglip2,
    "flava": tiny_flava,
    "blip_2": tiny_blip_2,
    "vilt": tiny_vilt,
    "bridgetower": tiny_bridgetower,
}
