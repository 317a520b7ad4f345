"""Tiny captioners of every family that transformers has, with random weights, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tests.models.checkpoints import SIDE, WORDS, tiny_blip_captioner

#: Ids of the special tokens are their places here.
TOKENS = (
    *("<pad>", "<unk>", "<s>", "</s>", "<user>", "<end>", "<image>", "<vision_start>"),
    *("<vision_end>", "<video>", "<fake_token_around_image>", "<global-img>", "<row_1_col_1>"),
    *("<row_1_col_2>", "<row_2_col_1>", "<row_2_col_2>"),
)
PAD, START, STOP, END, IMAGE = 0, 2, 3, 5, 6
VOCABULARY = len(TOKENS) + len(WORDS)
TEMPLATE = (
    "{% for m in messages %}<user> {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}PICTURE{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<end>{% endfor %}{% if add_generation_prompt %}<user>{% endif %}"
)
ENDS = {"bos_token_id": START, "eos_token_id": STOP, "pad_token_id": PAD}
_SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
_HEADS = {"num_attention_heads": 4}
_VISION = {**_SMALL, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8}
_SQUARE = {"height": SIDE, "width": SIDE}
_LLAMA = {
    **_SMALL,
    **_HEADS,
    **ENDS,
    **{"vocab_size": VOCABULARY, "num_key_value_heads": 2, "head_dim": 8},
    **{"max_position_embeddings": 512, "model_type": "llama"},
}
_QWEN = {**_LLAMA, "max_position_embeddings": 512}
_QWEN.pop("model_type")
_QWEN_VISION = {
    **{"depth": 1, "num_heads": 2, "patch_size": 8, "spatial_merge_size": 2},
    **{"temporal_patch_size": 2, "in_channels": 3},
}
_QWEN_IDS = {
    **{"image_token_id": IMAGE, "video_token_id": 9, "vision_start_token_id": 7},
    **{"vision_end_token_id": 8},
}


def tokenizer(*, around: bool = True, template: str | None = None, **named: str) -> Any:
    """Return a tokenizer of words; ``around`` puts <s> before and </s> behind a text."""
    whole = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate((*TOKENS, *WORDS))}, unk_token="<unk>")
    )
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    if around:
        whole.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", START), ("</s>", STOP)]
        )
    made = hf.PreTrainedTokenizerFast(
        tokenizer_object=whole,
        **{"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>", **named},
    )
    made.add_special_tokens({"extra_special_tokens": list(TOKENS[4:])})
    made.chat_template = template
    return made


def _save(model: Any, folder: Path, words: Any, pictures: Any, seed: int = 5) -> Path:
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 or "embedding" in name:
                weight.normal_(0, 0.3)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    pictures.save_pretrained(folder)
    return folder


def tiny_git(folder: Path) -> Path:
    config = hf.GitConfig(
        **_SMALL,
        **_HEADS,
        **{"vocab_size": VOCABULARY, "max_position_embeddings": 64},
        **ENDS,
        vision_config=_VISION,
    )
    pictures = hf.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=_SQUARE)
    return _save(hf.GitForCausalLM(config), folder, tokenizer(), pictures)


def tiny_vision_encoder_decoder(folder: Path) -> Path:
    encoder = hf.ViTConfig(**_VISION)
    decoder = hf.GPT2Config(
        **{"vocab_size": VOCABULARY, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4},
        **{"is_decoder": True, "add_cross_attention": True},
        **ENDS,
    )
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, decoder_start_token_id=START, eos_token_id=STOP, pad_token_id=PAD
    )
    model = hf.VisionEncoderDecoderModel(config)
    model.generation_config.decoder_start_token_id = START
    pictures = hf.ViTImageProcessorPil(size=_SQUARE)
    return _save(model, folder, tokenizer(around=False), pictures)


def tiny_florence_2(folder: Path) -> Path:
    config = hf.Florence2Config(
        text_config={
            **{"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "vocab_size": VOCABULARY},
            **{"encoder_attention_heads": 4, "decoder_attention_heads": 4},
            **{"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64},
            **{"decoder_start_token_id": STOP, "forced_bos_token_id": START, **ENDS},
            "model_type": "bart",
        },
        vision_config={
            **{"embed_dim": [8, 16], "num_heads": [1, 2], "num_groups": [1, 2], "depths": [1, 1]},
            **{"patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1]},
            **{"patch_prenorm": [False, True], "window_size": 4, "projection_dim": 32},
            "image_size": SIDE,
        },
        image_token_id=IMAGE,
    )
    model = hf.Florence2ForConditionalGeneration(config)
    pictures = hf.CLIPImageProcessorPil(size=_SQUARE, do_center_crop=False)
    return _save(model, folder, tokenizer(), pictures)


def tiny_blip_2(folder: Path, *, text: str = "opt") -> Path:
    config = hf.Blip2Config(**_bridge(text, {}))
    pictures = hf.BlipImageProcessorPil(size=_SQUARE)
    return _save(hf.Blip2ForConditionalGeneration(config), folder, tokenizer(), pictures)


def tiny_instruct_blip(folder: Path, *, text: str = "t5") -> Path:
    config = hf.InstructBlipConfig(**_bridge(text, {"vocab_size": VOCABULARY}))
    model = hf.InstructBlipForConditionalGeneration(config)
    tokenizer().save_pretrained(folder / "qformer_tokenizer")
    return _save(model, folder, tokenizer(), hf.BlipImageProcessorPil(size=_SQUARE))


def _bridge(text: str, qformer: dict[str, Any]) -> dict[str, Any]:
    words: dict[str, Any] = {
        "model_type": "opt",
        **{"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, **_HEADS, **ENDS},
        **{"vocab_size": VOCABULARY, "max_position_embeddings": 64, "word_embed_proj_dim": 32},
    }
    if text == "t5":
        words = {
            **{"model_type": "t5", "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2},
            **{"num_heads": 4, "vocab_size": VOCABULARY, "decoder_start_token_id": PAD, **ENDS},
        }
    return {
        "vision_config": _VISION,
        "qformer_config": {**_SMALL, **_HEADS, "encoder_hidden_size": 32, **qformer},
        "text_config": words,
        **{"num_query_tokens": 4, "image_token_index": IMAGE},
    }


def tiny_llava(folder: Path) -> Path:
    config = hf.LlavaConfig(
        text_config=_LLAMA,
        vision_config={**_VISION, "model_type": "clip_vision_model", "projection_dim": 16},
        image_token_index=IMAGE,
    )
    pictures = hf.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=_SQUARE)
    _save(hf.LlavaForConditionalGeneration(config), folder, _chat_tokenizer(), pictures)
    _processor(folder, "LlavaProcessor", patch_size=8, num_additional_image_tokens=1,
               vision_feature_select_strategy="default")  # fmt: skip
    return folder


def tiny_llava_next(folder: Path) -> Path:
    pins = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    config = hf.LlavaNextConfig(
        text_config=_LLAMA,
        vision_config={**_VISION, "model_type": "clip_vision_model", "projection_dim": 16},
        **{"image_token_index": IMAGE, "image_grid_pinpoints": pins},
    )
    pictures = hf.LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size=_SQUARE, image_grid_pinpoints=pins
    )
    _save(hf.LlavaNextForConditionalGeneration(config), folder, _chat_tokenizer(), pictures)
    _processor(folder, "LlavaNextProcessor", patch_size=8, num_additional_image_tokens=1,
               vision_feature_select_strategy="default")  # fmt: skip
    return folder


def tiny_llava_onevision(folder: Path) -> Path:
    pins = [[SIDE, SIDE], [SIDE, 2 * SIDE], [2 * SIDE, SIDE]]
    config = hf.LlavaOnevisionConfig(
        text_config={**_QWEN, "model_type": "qwen2"},
        vision_config={**_VISION, "model_type": "siglip_vision_model"},
        **{"image_token_index": IMAGE, "video_token_index": 9, "image_grid_pinpoints": pins},
    )
    pictures = hf.LlavaOnevisionImageProcessorPil(size=_SQUARE, image_grid_pinpoints=pins)
    _save(hf.LlavaOnevisionForConditionalGeneration(config), folder, _chat_tokenizer(), pictures)
    _processor(folder, "LlavaOnevisionProcessor", num_image_tokens=16,
               vision_feature_select_strategy="full")  # fmt: skip
    return folder


def tiny_qwen2_vl(folder: Path) -> Path:
    config = hf.Qwen2VLConfig(
        text_config={**_QWEN, "rope_parameters": _rope([1, 1, 2])},
        vision_config={**_QWEN_VISION, "embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2},
        **_QWEN_IDS,
    )
    return _qwen(hf.Qwen2VLForConditionalGeneration(config), folder)


def tiny_qwen2_5_vl(folder: Path) -> Path:
    config = hf.Qwen2_5_VLConfig(
        text_config={**_QWEN, "rope_parameters": _rope([1, 1, 2])},
        vision_config={
            **{**_QWEN_VISION, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 48},
            **{"window_size": 16, "fullatt_block_indexes": [0]},
        },
        **_QWEN_IDS,
    )
    return _qwen(hf.Qwen2_5_VLForConditionalGeneration(config), folder)


def tiny_qwen3_vl(folder: Path) -> Path:
    config = hf.Qwen3VLConfig(
        text_config={**_QWEN, "rope_parameters": _rope([2, 1, 1])},
        vision_config={
            **{**_QWEN_VISION, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 48},
            **{"num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
        },
        **_QWEN_IDS,
    )
    return _qwen(hf.Qwen3VLForConditionalGeneration(config), folder)


def _rope(section: list[int]) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": section}


def _qwen(model: Any, folder: Path) -> Path:
    pictures = hf.Qwen2VLImageProcessorPil(
        size={"shortest_edge": 16 * 16, "longest_edge": 64 * 64}, patch_size=8, merge_size=2
    )
    words = _chat_tokenizer("<vision_start><image><vision_end>")
    return _save(model, folder, words, pictures)


def tiny_smolvlm(folder: Path) -> Path:
    config = hf.SmolVLMConfig(**_idefics("smolvlm_vision"))
    pictures = hf.SmolVLMImageProcessorPil(**_IDEFICS_PICTURES)
    _save(hf.SmolVLMForConditionalGeneration(config), folder, _chat_tokenizer(), pictures)
    _processor(folder, "SmolVLMProcessor", image_seq_len=4)
    return folder


def tiny_idefics3(folder: Path) -> Path:
    config = hf.Idefics3Config(**_idefics("idefics3_vision"))
    pictures = hf.Idefics3ImageProcessorPil(**_IDEFICS_PICTURES)
    _save(hf.Idefics3ForConditionalGeneration(config), folder, _chat_tokenizer(), pictures)
    _processor(folder, "Idefics3Processor", image_seq_len=4)
    return folder


_IDEFICS_PICTURES: dict[str, Any] = {
    **{"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}},
    **{"do_image_splitting": True, "resample": 1},
}


def _idefics(vision: str) -> dict[str, Any]:
    return {
        "text_config": _LLAMA,
        "vision_config": {**_VISION, "model_type": vision},
        **{"image_token_id": IMAGE, "scale_factor": 2, "pad_token_id": PAD},
    }


def tiny_gemma3(folder: Path) -> Path:
    config = hf.Gemma3Config(
        text_config={**_QWEN, "sliding_window": 64, "layer_types": ["full_attention"] * 2},
        vision_config={**_VISION, "model_type": "siglip_vision_model", "vision_use_head": False},
        **{"mm_tokens_per_image": 4, "image_token_id": IMAGE, "boi_token_index": 7},
        **{"eoi_token_index": 8, "eos_token_id": [END, STOP], "tie_word_embeddings": False},
    )
    pictures = hf.Gemma3ImageProcessorPil(size=_SQUARE)
    ends = {"boi_token": "<vision_start>", "eoi_token": "<vision_end>"}
    words = _chat_tokenizer("<vision_start>", **ends)
    _save(hf.Gemma3ForConditionalGeneration(config), folder, words, pictures)
    _processor(folder, "Gemma3Processor", image_seq_length=4)
    return folder


def _chat_tokenizer(picture: str = "<image>", **named: str) -> Any:
    filled = TEMPLATE.replace("PICTURE", picture)
    return tokenizer(around=False, template=filled, **named)


def _processor(folder: Path, name: str, **settings: Any) -> None:
    said = {"processor_class": name, **settings}
    (folder / "processor_config.json").write_text(json.dumps(said))


#: Kind and maker of a checkpoint, by the model_type of its config.json and its text model.
TINY: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "blip": ("blip", tiny_blip_captioner),
    "git": ("git", tiny_git),
    "vision-encoder-decoder": ("vision_encoder_decoder", tiny_vision_encoder_decoder),
    "florence2": ("florence_2", tiny_florence_2),
    "blip-2 opt": ("blip_2", tiny_blip_2),
    "blip-2 t5": ("blip_2", lambda folder: tiny_blip_2(folder, text="t5")),
    "instructblip opt": ("instruct_blip", lambda folder: tiny_instruct_blip(folder, text="opt")),
    "instructblip t5": ("instruct_blip", tiny_instruct_blip),
    "llava": ("chat", tiny_llava),
    "llava_next": ("chat", tiny_llava_next),
    "llava_onevision": ("chat", tiny_llava_onevision),
    "qwen2_vl": ("chat", tiny_qwen2_vl),
    "qwen2_5_vl": ("chat", tiny_qwen2_5_vl),
    "qwen3_vl": ("chat", tiny_qwen3_vl),
    "smolvlm": ("chat", tiny_smolvlm),
    "idefics3": ("chat", tiny_idefics3),
    "gemma3": ("chat", tiny_gemma3),
}
#: One checkpoint a kind.
TINY_BY_KIND: dict[str, Callable[[Path], Path]] = {
    "blip": tiny_blip_captioner,
    "blip_2": tiny_blip_2,
    "chat": tiny_qwen2_5_vl,
    "florence_2": tiny_florence_2,
    "git": tiny_git,
    "instruct_blip": tiny_instruct_blip,
    "vision_encoder_decoder": tiny_vision_encoder_decoder,
    "vllm": tiny_qwen2_5_vl,
}
