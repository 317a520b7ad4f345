"""BLIP checkpoints of random weights, and the loops that people write around them.

Needs torch, transformers and Pillow alone, so that it serves on a GPU machine without the rest.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

TOKENS = 20
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_VOCABULARY = 30_522
_VISION: dict[str, dict[str, int]] = {
    "base": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12},
    "large": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24},
}


def write_checkpoints(folder: Path, *, size: str, image_size: int) -> tuple[Path, Path]:
    """Write a captioner and a filter of BLIP's shape, by chance; returns their folders.

    Args:
        folder: where to.
        size: ``base`` (ViT-B/16) or ``large`` (ViT-L/16); the text side is BERT-base in both.
        image_size: side of the pictures, pixels.
    """
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipForImageTextRetrieval,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    words = [f"w{number}" for number in range(_VOCABULARY - len(_SPECIAL))]
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate((*_SPECIAL, *words))})
    config = BlipConfig(
        text_config={
            **{"vocab_size": _VOCABULARY + 2, "bos_token_id": _VOCABULARY, "sep_token_id": 3},
            **{"pad_token_id": 0, "eos_token_id": 2},
        },
        vision_config={
            **_VISION[size],
            **{"num_attention_heads": 12 if size == "base" else 16},
            **{"image_size": image_size, "patch_size": 16},
        },
        image_text_hidden_size=256,
    )
    folders = folder / "captioner", folder / "filter"
    models: tuple[Any, Any] = (BlipForConditionalGeneration, BlipForImageTextRetrieval)
    for seed, (place, model_class) in enumerate(zip(folders, models, strict=True)):
        torch.manual_seed(seed)
        model_class(config).save_pretrained(place)
        tokenizer.save_pretrained(place)
        _pictures(image_size).save_pretrained(place)
    return folders


def _pictures(image_size: int) -> Any:
    from transformers import BlipImageProcessorPil

    return BlipImageProcessorPil(size={"height": image_size, "width": image_size})


def practice_pairs(count: int, *, side: int = 640, seed: int = 0) -> tuple[list[bytes], list[str]]:
    """Return JPEGs of smooth noise and texts of eight words."""
    rng = np.random.default_rng(seed)
    bodies, texts = [], []
    for _ in range(count):
        small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((side, side * 3 // 4), Image.Resampling.BICUBIC)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=85)
        bodies.append(out.getvalue())
        texts.append(" ".join(f"w{number}" for number in rng.integers(0, 30_000, 8)))
    return bodies, texts


@dataclass
class Passes:
    """How many pictures went through vision towers."""

    images: int = 0
    _handles: list[Any] = field(default_factory=list)

    def watch(self, model: Any) -> None:
        """Count what a BLIP model's vision tower sees."""

        def note(module: Any, args: Any, kwargs: Any) -> None:
            pixels = kwargs.get("pixel_values", args[0] if args else None)
            self.images += len(pixels)

        handle = model.vision_model.register_forward_pre_hook(note, with_kwargs=True)
        self._handles.append(handle)


@contextmanager
def loaded_by_users(
    captioner: Path, judge: Path, *, device: str, dtype: torch.dtype
) -> Iterator[tuple[Callable[[Sequence[bytes], Sequence[str]], Any], Passes]]:
    """Yield the loop people write: caption, then ITM and ITC of the web text and of the caption.

    Five passes of a vision tower an image: one in ``generate``, two for each text, since
    ``BlipForImageTextRetrieval`` gives ITM or ITC of one text a call.
    """
    from transformers import (
        AutoTokenizer,
        BlipForConditionalGeneration,
        BlipForImageTextRetrieval,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    writer = BlipForConditionalGeneration.from_pretrained(captioner, dtype=dtype).to(device).eval()
    scorer = BlipForImageTextRetrieval.from_pretrained(judge, dtype=dtype).to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(captioner)
    pictures = _pictures(writer.config.vision_config.image_size)
    passes = Passes()
    passes.watch(writer)
    passes.watch(scorer)

    @torch.no_grad()
    def step(bodies: Sequence[bytes], texts: Sequence[str]) -> Any:
        opened = [Image.open(io.BytesIO(body)).convert("RGB") for body in bodies]
        pixels = pictures(images=opened, return_tensors="pt")["pixel_values"].to(device, dtype)
        ids = writer.generate(
            pixel_values=pixels,
            do_sample=True,
            top_p=0.9,
            min_new_tokens=TOKENS,
            max_new_tokens=TOKENS,
        )
        captions = tokenizer.batch_decode(ids, skip_special_tokens=True)
        found = []
        for some in (list(texts), captions):
            read = tokenizer(
                some, padding=True, truncation=True, max_length=35, return_tensors="pt"
            )
            words = {name: read[name].to(device) for name in ("input_ids", "attention_mask")}
            itm = scorer(**words, pixel_values=pixels, use_itm_head=True)[0].softmax(-1)[:, 1]
            itc = scorer(**words, pixel_values=pixels, use_itm_head=False)[0].diagonal()
            found.append((itm.float().cpu(), itc.float().cpu()))
        return captions, found

    yield step, passes
