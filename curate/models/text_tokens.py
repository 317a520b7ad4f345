"""Texts to tokens for scorers: each distinct text once, cut and flagged, batched by length.

Web texts repeat, and some are essays. A distinct text is encoded once however many images it is
scored against; what is longer than the model reads is cut as its tokenizer cuts and said to be.

Shapes: T texts as given, U distinct texts of a batch, P pairs of an image and a text, L tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curate.core.errors import ModelError

#: A text of so many characters a token is looked at by its beginning first; words have about five.
_CHARACTERS_PER_TOKEN = 32


@dataclass(frozen=True, slots=True)
class Pairs:
    """Some of the pairs whose texts are in one batch.

    Attributes:
        places: of the texts as given, P of them.
        text_rows: for each its row in the batch, int64 [P].
        image_rows: for each its image, int64 [P].
    """

    places: list[int]
    text_rows: Tensor
    image_rows: Tensor


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Distinct texts of like length, and the pairs they are in.

    Attributes:
        ids: token ids [U, L], int64, padded.
        mask: int64 [U, L], 1 where there is a token and 0 where there is padding.
        pairs: all pairs with these texts, in portions.
    """

    ids: Tensor
    mask: Tensor
    pairs: list[Pairs]


class TextTokens:
    """A tokenizer as one family of scorers uses it."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        most_tokens: int,
        pad_to_most: bool = False,
        lower_case: bool = False,
        texts_per_batch: int = 64,
    ) -> None:
        """Keep the settings.

        Args:
            tokenizer: of transformers.
            most_tokens: longest text the model reads, in tokens with the special ones.
            pad_to_most: pad every text to ``most_tokens``, for models that were trained so and
                read the padding; else to the longest of the batch.
            lower_case: for models that were trained on lower-cased texts by another tokenizer.
            texts_per_batch: most distinct texts, and most pairs, in one call of the network.

        Raises:
            ModelError: the tokenizer has no token to pad with.
        """
        if tokenizer.pad_token_id is None:
            raise ModelError(
                f"the tokenizer of {tokenizer.name_or_path} names no pad token: texts of different "
                "lengths cannot share a batch; name one in its tokenizer_config.json"
            )
        self._tokenizer = tokenizer
        self._most = most_tokens
        self._pad_to_most = pad_to_most
        self._lower = lower_case
        self._size = texts_per_batch

    def __call__(self, texts: Sequence[str]) -> Tokenized:
        """Tokenize texts, distinct ones once."""
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        distinct = [text.lower() for text in rows] if self._lower else list(rows)
        parts, ids = self._enough(distinct)
        cut = [row for row, some in enumerate(ids) if len(some) > self._most]
        again = self._ids([parts[row] for row in cut], truncation=True)
        for row, some in zip(cut, again, strict=True):
            ids[row] = some
        flags = np.zeros(len(rows), dtype=bool)
        flags[cut] = True
        distinct_of = [rows[text] for text in texts]
        return Tokenized(self, ids, distinct_of, flags[distinct_of])

    def _enough(self, texts: list[str]) -> tuple[list[str], list[list[int]]]:
        """Return of each text as much as decides what is read of it, and its ids, not cut."""
        parts = [self._beginning(text) for text in texts]
        ids = self._ids(parts, truncation=False)
        some = [row for row, part in enumerate(parts) if part != texts[row]]
        short = [row for row in some if len(ids[row]) <= self._most]
        whole = self._ids([texts[row] for row in short], truncation=False)
        for row, longer in zip(short, whole, strict=True):
            parts[row], ids[row] = texts[row], longer
        return parts, ids

    def _beginning(self, text: str) -> str:
        """Return the words a text begins with; a megabyte takes seconds to tokenize."""
        most = _CHARACTERS_PER_TOKEN * self._most
        if len(text) <= most or self._tokenizer.truncation_side != "right":
            return text
        words, space, _ = text[:most].rpartition(" ")
        return words if space else text

    def _ids(self, texts: list[str], *, truncation: bool) -> list[list[int]]:
        if not texts:
            return []
        encoded = self._tokenizer(
            texts,
            truncation=truncation,
            max_length=self._most if truncation else None,
            return_attention_mask=False,
            verbose=False,  # no warning of texts longer than the model: they are cut next
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def pad(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return ids [U, L] and mask [U, L], int64, padded on the tokenizer's own side."""
        length = self._most if self._pad_to_most else max(1, *map(len, ids))
        ids_UL = torch.full((len(ids), length), int(self._tokenizer.pad_token_id))
        mask_UL = torch.zeros((len(ids), length), dtype=torch.int64)
        left = self._tokenizer.padding_side == "left"
        for row, some in enumerate(ids):
            where = slice(length - len(some), length) if left else slice(0, len(some))
            ids_UL[row, where] = torch.tensor(some, dtype=torch.int64)
            mask_UL[row, where] = 1
        return ids_UL, mask_UL

    @property
    def size(self) -> int:
        """Most texts, and most pairs, in one call of the network."""
        return self._size


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Tokenized texts.

    Attributes:
        tokens: how they were made.
        ids: token ids of the distinct texts, not padded.
        distinct_of: for each of the T texts its distinct text.
        truncated: for each of the T texts whether it was cut, bool [T].
    """

    tokens: TextTokens
    ids: list[list[int]]
    distinct_of: list[int]
    truncated: NDArray[np.bool_]

    def batches(self, images_of: Sequence[int], device: torch.device) -> Iterator[TextBatch]:
        """Yield batches of distinct texts, shortest first so that little is padded.

        Args:
            images_of: for each of the T texts the index of its image.
            device: where the tensors shall be.
        """
        places_of: list[list[int]] = [[] for _ in self.ids]
        for place, row in enumerate(self.distinct_of):
            places_of[row].append(place)
        order = sorted(range(len(self.ids)), key=lambda row: len(self.ids[row]))
        size = self.tokens.size
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            ids_UL, mask_UL = self.tokens.pad([self.ids[row] for row in chosen])
            both = [(place, u) for u, row in enumerate(chosen) for place in places_of[row]]
            portions = [both[first : first + size] for first in range(0, len(both), size)]
            pairs = [_pairs(portion, images_of, device) for portion in portions]
            yield TextBatch(ids_UL.to(device), mask_UL.to(device), pairs)


def _pairs(
    portion: Sequence[tuple[int, int]], images_of: Sequence[int], device: torch.device
) -> Pairs:
    places = [place for place, _ in portion]
    text_rows_P = torch.tensor([row for _, row in portion], device=device)
    image_rows_P = torch.tensor([images_of[place] for place in places], device=device)
    return Pairs(places, text_rows_P, image_rows_P)
