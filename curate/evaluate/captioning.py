"""Captioning: CIDEr and BLEU-4 of greedy captions against human ones.

CIDEr compares with the other captions of the very same set (its word weights come from there),
so figures of different sets do not compare. Texts are lower-cased and split at every character
that is no letter or digit; the official PTB tokenizer wants Java and keeps some punctuation
inside words, so figures may differ from published ones in the first decimal.

Sources: Vedantam et al. 2015 (https://arxiv.org/abs/1411.5726), Papineni et al. 2002, both as
pycocoevalcap computes them.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.core.errors import CurateError
from curate.evaluate.pool import Pool

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from curate.models.med import MedModel

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


@dataclass(frozen=True)
class CaptioningResult:
    """How near captions come to human ones.

    Attributes:
        cider: 0 and up; 1.0 is what people call 100.
        bleu4: 0 to 1.
        distinct: share of captions that are unlike every other; low when a model repeats itself.
        mean_words: of a caption.
        num_images: captions written.
        examples: the first few captions.
    """

    cider: float
    bleu4: float
    distinct: float
    mean_words: float
    num_images: int
    examples: tuple[str, ...]


def captioning(
    model: MedModel,
    tokenizer: PreTrainedTokenizerFast,
    pool: Pool,
    *,
    prompt: str = "",
    max_tokens: int = 24,
    batch_size: int = 64,
) -> CaptioningResult:
    """Write a greedy caption of every picture and compare it with all of the picture's texts.

    Args:
        model: in evaluation mode.
        tokenizer: the model's.
        pool: what is evaluated.
        prompt: words that every caption begins with; they count as part of it.
        max_tokens: most new tokens, or as many as the model has positions for.
        batch_size: pictures at once.

    Raises:
        CurateError: pycocoevalcap is not installed.
    """
    captions = write_captions(
        *(model, tokenizer, pool), prompt=prompt, max_tokens=max_tokens, batch_size=batch_size
    )
    cider, bleu4 = caption_scores(
        captions, [pool.texts_of(image) for image in range(len(captions))]
    )
    return CaptioningResult(
        cider=cider,
        bleu4=bleu4,
        distinct=len(set(captions)) / len(captions),
        mean_words=sum(len(words(caption)) for caption in captions) / len(captions),
        num_images=len(captions),
        examples=tuple(captions[:8]),
    )


def write_captions(
    model: MedModel,
    tokenizer: PreTrainedTokenizerFast,
    pool: Pool,
    *,
    prompt: str,
    max_tokens: int,
    batch_size: int,
) -> list[str]:
    """Return a greedy caption of every picture, the prompt included."""
    import torch

    from curate.models.med_tokenizer import detokenize, prompt_ids

    start = prompt_ids(tokenizer, prompt).to(model.device)
    max_tokens = min(max_tokens, model.config.max_text_tokens + 1 - len(start))
    captions: list[str] = []
    with torch.inference_mode():
        for first in range(0, pool.num_images, batch_size):
            tokens = pool.image_tokens[first : first + batch_size]
            written = model.generate(tokens, start, max_tokens)
            whole = torch.cat([start.expand(len(written), -1), written], 1)
            captions += detokenize(tokenizer, whole)
    return captions


def words(text: str) -> list[str]:
    """Split a text into lower-case words; punctuation is dropped.

    Example:
        >>> words("A dog's ball, thrown!")
        ['a', "dog's", 'ball', 'thrown']
    """
    return _WORD.findall(text.lower())


def caption_scores(captions: list[str], references: list[list[str]]) -> tuple[float, float]:
    """Return CIDEr and BLEU-4 of captions against several references each.

    Raises:
        CurateError: pycocoevalcap is not installed.
    """
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
    except ImportError as error:
        raise CurateError(
            "captions are scored by pycocoevalcap: pip install 'curate[evaluate]'"
        ) from error
    wrote = {index: [" ".join(words(caption))] for index, caption in enumerate(captions)}
    wanted = {
        index: [" ".join(words(text)) for text in texts] for index, texts in enumerate(references)
    }
    with contextlib.redirect_stdout(io.StringIO()):
        bleu, _ = Bleu(4).compute_score(wanted, wrote)
        cider, _ = Cider().compute_score(wanted, wrote)
    return float(cider), float(bleu[3])
