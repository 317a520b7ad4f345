"""What transformers itself says: greedy captions by its own processors and a plain ``generate``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from numpy.typing import NDArray
from PIL import Image

from curate.models.chat import ChatCaptioner
from curate.models.checkpoints import fetch
from curate.models.processors import load_processor
from tests.models.captioner_checkpoints import IMAGE, PAD

Pictures = Sequence[NDArray[Any]]
#: Caption of each picture, one call of ``generate`` a picture.
Reference = Callable[[Path, Pictures, str, int], list[str]]


def _words(tokenizer: Any, ids: Any) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip().removeprefix("##")


def _plain(model_class: Any, folder: Path) -> tuple[Any, Any, Any]:
    model = model_class.from_pretrained(folder).eval()
    pictures = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    return model, pictures, hf.AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def git(folder: Path, pictures: Pictures, prompt: str, tokens: int) -> list[str]:
    model, processor, tokenizer = _plain(hf.GitForCausalLM, folder)
    ids = torch.tensor(
        [[tokenizer.bos_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]]
    )
    said = []
    for picture in pictures:
        pixels = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
        new = model.generate(
            pixel_values=pixels, input_ids=ids, max_new_tokens=tokens, do_sample=False
        )
        said.append(_words(tokenizer, new[0, ids.shape[1] :]))
    return said


@torch.no_grad()
def vision_encoder_decoder(folder: Path, pictures: Pictures, prompt: str, tokens: int) -> list[str]:
    model, processor, tokenizer = _plain(hf.VisionEncoderDecoderModel, folder)
    start = model.config.decoder_start_token_id
    ids = torch.tensor([[start, *tokenizer(prompt)["input_ids"]]])
    said = []
    for picture in pictures:
        pixels = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
        new = model.generate(pixels, decoder_input_ids=ids, max_new_tokens=tokens, do_sample=False)
        said.append(_words(tokenizer, new[0, ids.shape[1] :]))
    return said


@torch.no_grad()
def florence_2(folder: Path, pictures: Pictures, prompt: str, tokens: int) -> list[str]:
    model, images, tokenizer = _plain(hf.Florence2ForConditionalGeneration, folder)
    model.generation_config.forced_eos_token_id = None  # a text may end with its last word
    # The tiny model's tower gives 16 + 1 tokens; a published checkpoint's settings say 577.
    images.image_seq_length = model.get_image_features(
        torch.zeros(1, 3, 32, 32)
    ).pooler_output.shape[1]
    processor = hf.Florence2Processor(images, tokenizer)
    said = []
    for picture in pictures:
        inputs = processor(text=prompt, images=Image.fromarray(picture), return_tensors="pt")
        new = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
        said.append(_words(tokenizer, new[0, 1:]))
    return said


@torch.no_grad()
def _bridge(
    model_class: Any,
    folder: Path,
    pictures: Pictures,
    asked: dict[str, Any],
    prompt: str,
    tokens: int,
) -> list[str]:
    model, images, tokenizer = _plain(model_class, folder)
    ids = torch.tensor([[IMAGE] * model.config.num_query_tokens + tokenizer(prompt)["input_ids"]])
    before = 1 if model.language_model.config.is_encoder_decoder else ids.shape[1]
    said = []
    for picture in pictures:
        pixels = images(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
        new = model.generate(
            pixel_values=pixels, input_ids=ids, attention_mask=torch.ones_like(ids), **asked,
            max_new_tokens=tokens, do_sample=False,
        )  # fmt: skip
        said.append(_words(tokenizer, new[0, before:]))
    return said


def blip_2(folder: Path, pictures: Pictures, prompt: str, tokens: int) -> list[str]:
    return _bridge(hf.Blip2ForConditionalGeneration, folder, pictures, {}, prompt, tokens)


def instruct_blip(folder: Path, pictures: Pictures, prompt: str, tokens: int) -> list[str]:
    inner = hf.AutoTokenizer.from_pretrained(folder / "qformer_tokenizer")
    asked = {"qformer_input_ids": torch.tensor([inner(prompt)["input_ids"]])}
    asked["qformer_attention_mask"] = torch.ones_like(asked["qformer_input_ids"])
    return _bridge(hf.InstructBlipForConditionalGeneration, folder, pictures, asked, prompt, tokens)


@torch.no_grad()
def blip(folder: Path, pictures: Pictures, prompt: str, tokens: int) -> list[str]:
    model, processor, tokenizer = _plain(hf.BlipForConditionalGeneration, folder)
    ids = tokenizer([prompt], return_tensors="pt", return_token_type_ids=False)
    said = []
    for picture in pictures:
        pixels = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
        new = model.generate(pixel_values=pixels, **ids, max_new_tokens=tokens, do_sample=False)
        said.append(_words(tokenizer, new[0, ids["input_ids"].shape[1] - 1 :]))  # less its [SEP]
    return said


@torch.no_grad()
def chat(folder: Path, pictures: Pictures, prompt: str, tokens: int) -> list[str]:
    """Ask with normalised pictures of the processor, on the canvas where the family needs it."""
    model = hf.AutoModelForImageTextToText.from_pretrained(folder).eval()
    model_type = model.config.model_type
    processor = load_processor(fetch(str(folder), None), model_type, trust_remote_code=False)
    ours = _fitting(folder)
    if hasattr(processor.image_processor, "do_image_splitting"):
        processor.image_processor.do_image_splitting = False
    said = []
    for picture in pictures:
        content = [
            {"type": "image", "image": Image.fromarray(ours(picture))},
            {"type": "text", "text": prompt},
        ]
        inputs = processor.apply_chat_template(
            [[{"role": "user", "content": content}]],
            **{"tokenize": True, "add_generation_prompt": True, "return_dict": True},
            return_tensors="pt",
        )
        new = model.generate(**inputs, max_new_tokens=tokens, do_sample=False, pad_token_id=PAD)
        said.append(_words(processor.tokenizer, new[0, inputs["input_ids"].shape[1] :]))
    return said


def _fitting(folder: Path) -> Callable[[NDArray[Any]], NDArray[Any]]:
    from curate.models.base import Writing

    captioner = ChatCaptioner(
        fetch(str(folder), None), Writing(), device=torch.device("cpu"), dtype=torch.float32
    )
    return captioner._pictures.fit


#: By kind.
REFERENCES: dict[str, Reference] = {
    "blip": blip,
    "git": git,
    "vision_encoder_decoder": vision_encoder_decoder,
    "florence_2": florence_2,
    "blip_2": blip_2,
    "instruct_blip": instruct_blip,
    "chat": chat,
}
