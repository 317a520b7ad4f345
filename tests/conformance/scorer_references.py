"""What transformers itself says of a pair: its own processor, its own forward, one pair at a time.

One function a family, each returning ``itc`` (cosine), ``itm`` (probability) or both, and the
image's embedding where the family has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf
from numpy.typing import NDArray

Answer = dict[str, Any]
Ask = Callable[[NDArray[np.uint8], str], Answer]


def _dual(network: Any, processor: Any, **tokens: Any) -> Callable[[Path], Ask]:
    """Return the reference of a dual encoder whose logits are its cosines times a scale."""

    def reference(folder: Path) -> Ask:
        model = network.from_pretrained(folder).eval()
        pictures = processor.from_pretrained(folder)
        tokenizer = tf.AutoTokenizer.from_pretrained(folder)
        scale = 1 / model.temperature if hasattr(model, "temperature") else model.logit_scale.exp()
        bias = getattr(model, "logit_bias", torch.zeros(1))

        @torch.no_grad()
        def ask(picture: NDArray[np.uint8], text: str) -> Answer:
            inputs = dict(tokenizer(text, truncation=True, return_tensors="pt", **tokens))
            if "padding" in tokens:  # SigLIP reads its padding: it knows no mask
                inputs.pop("attention_mask", None)
            out = model(**inputs, **pictures(picture, return_tensors="pt"))
            cosine = ((out.logits_per_image - bias) / scale).item()
            return {"itc": cosine, "embed": out.image_embeds[0].numpy()}

        return ask

    return reference


def _flava(folder: Path) -> Ask:
    model = tf.FlavaForPreTraining.from_pretrained(folder).eval()
    pictures = tf.FlavaImageProcessorPil.from_pretrained(folder)
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def ask(picture: NDArray[np.uint8], text: str) -> Answer:
        words = tokenizer(text, truncation=True, max_length=30, return_tensors="pt")
        seen = pictures(picture, return_tensors="pt")
        both = {**words, "pixel_values": seen["pixel_values"]}
        out = model(**both, input_ids_masked=words["input_ids"], return_loss=False)
        features = model.flava.get_image_features(seen["pixel_values"]).pooler_output[0, 0]
        cosine = (out.contrastive_logits_per_image / model.flava.logit_scale.exp()).item()
        itm = out.itm_logits.softmax(-1)[0, 1].item()
        return {"itc": cosine, "itm": itm, "embed": (features / features.norm()).numpy()}

    return ask


def _blip(folder: Path) -> Ask:
    model = tf.BlipForImageTextRetrieval.from_pretrained(folder).eval()
    pictures = tf.BlipImageProcessorPil.from_pretrained(folder)
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def ask(picture: NDArray[np.uint8], text: str) -> Answer:
        words = tokenizer(text, truncation=True, max_length=40, return_tensors="pt")
        words.pop("token_type_ids")
        both = {**words, **pictures(picture, return_tensors="pt")}
        cosine = model(**both, use_itm_head=False).itm_score.item()
        itm = model(**both).itm_score.softmax(-1)[0, 1].item()
        tokens = model.vision_model(both["pixel_values"]).last_hidden_state
        embed = torch.nn.functional.normalize(model.vision_proj(tokens[0, 0]), dim=-1)
        return {"itc": cosine, "itm": itm, "embed": embed.numpy()}

    return ask


def _blip_2(folder: Path) -> Ask:
    model = tf.Blip2ForImageTextRetrieval.from_pretrained(folder).eval()
    pictures = tf.BlipImageProcessorPil.from_pretrained(folder)
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def ask(picture: NDArray[np.uint8], text: str) -> Answer:
        words = tokenizer(text, truncation=True, max_length=32, return_tensors="pt")
        words.pop("token_type_ids")
        both = {**words, **pictures(picture, return_tensors="pt")}
        cosine = model(**both).logits_per_image.item()
        logits = model(**both, use_image_text_matching_head=True).logits_per_image
        return {"itc": cosine, "itm": logits.softmax(-1)[0, 1].item()}

    return ask


def _matcher(
    network: Any, processor: Any, most: int, probability: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[[Path], Ask]:
    """Return the reference of a family that gives ITM alone."""

    def reference(folder: Path) -> Ask:
        model = network.from_pretrained(folder).eval()
        pictures = processor.from_pretrained(folder)
        tokenizer = tf.AutoTokenizer.from_pretrained(folder)

        @torch.no_grad()
        def ask(picture: NDArray[np.uint8], text: str) -> Answer:
            words = tokenizer(text, truncation=True, max_length=most, return_tensors="pt")
            out = model(**words, **pictures(picture, return_tensors="pt"))
            return {"itm": probability(out.logits[0]).item()}

        return ask

    return reference


REFERENCES: Mapping[str, Callable[[Path], Ask]] = {
    "clip": _dual(tf.CLIPModel, tf.CLIPImageProcessorPil, max_length=40),
    "chinese_clip": _dual(tf.ChineseCLIPModel, tf.ChineseCLIPImageProcessorPil, max_length=52),
    "altclip": _dual(tf.AltCLIPModel, tf.CLIPImageProcessorPil, max_length=77),
    "align": _dual(tf.AlignModel, tf.EfficientNetImageProcessorPil, max_length=64),
    "siglip": _dual(
        tf.SiglipModel, tf.SiglipImageProcessorPil, padding="max_length", max_length=20
    ),
    "siglip2": _dual(
        tf.Siglip2Model, tf.Siglip2ImageProcessorPil, padding="max_length", max_length=24
    ),
    "flava": _flava,
    "blip": _blip,
    "blip_2": _blip_2,
    "vilt": _matcher(
        tf.ViltForImageAndTextRetrieval, tf.ViltImageProcessorPil, 24, lambda x: x[0].sigmoid()
    ),
    "bridgetower": _matcher(
        tf.BridgeTowerForImageAndTextRetrieval,
        tf.BridgeTowerImageProcessorPil,
        50,
        lambda x: x.softmax(-1)[1],
    ),
}
