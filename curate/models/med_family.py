"""MED checkpoints, curate's own mixture of encoder-decoder, as captioner and scorer.

Source: Li et al. 2022, "BLIP", section 3.1 (https://arxiv.org/abs/2201.12086). The image tower runs
once per image: for several captions, and for ITC and ITM of all texts alike.

Shapes: I images, P captions or pairs, S prompt tokens, T new tokens, L tokens, M image tokens,
D width, E projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from curate.core.errors import ModelError
from curate.models.base import Pixels, Writing
from curate.models.checkpoints import Checkpoint
from curate.models.loading import Precision, choose_dtype, load_model, load_tokenizer
from curate.models.med import MedModel
from curate.models.med_pixels import square_pixels
from curate.models.med_tokenizer import prompt_ids
from curate.models.pair_scorer import PairScorer, cosines, matched
from curate.models.sampling import KeyedSampler, stream_key
from curate.models.text_tokens import Pairs, TextBatch, TextTokens
from curate.models.token_memo import TokenMemo

MODEL_TYPES = ("med",)


class LoadedMed:
    """A loaded checkpoint.

    Attributes:
        network: the class of its weights.
    """

    network: ClassVar[type[MedModel]] = MedModel

    def __init__(self, checkpoint: Checkpoint, *, device: torch.device, dtype: Precision) -> None:
        """Load the checkpoint.

        Raises:
            ModelError: it is damaged or incomplete.
        """
        said = checkpoint.read_json("config.json") or {}
        # The stored statistics of a convolutional tower's norms do not survive bfloat16.
        exact = dtype == "auto" and said.get("image_tower") == "efficientnet_lite"
        weights = choose_dtype("float32" if exact else dtype, device)
        self.signature = checkpoint.signature
        self.device = device
        self.tokenizer = load_tokenizer(checkpoint)
        self.model: MedModel = load_model(self.network, checkpoint, device=device, dtype=weights)
        #: Set on two models of one checkpoint, it makes the second take the first one's tokens.
        self.memo: TokenMemo | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Squash an RGB picture to the model's square, uint8 [3, S, S], as in training."""
        # A decoder's array may be read-only, which torch warns of.
        pixels = torch.from_numpy(np.array(image_HW3))
        return square_pixels(pixels, self.model.config.image_size).numpy()

    def encode(self, images_I3HW: Pixels) -> torch.Tensor:
        """Return image tokens [I, M, D]."""
        if self.memo is None:
            return self._encode(images_I3HW)
        return self.memo.tokens(images_I3HW, self._encode)

    def _encode(self, images_I3HW: Pixels) -> torch.Tensor:
        pixels = torch.from_numpy(images_I3HW).to(self.device, non_blocking=True)
        return self.model.encode_images(pixels)


class MedCaptioner(LoadedMed):
    """Writes captions with a MED checkpoint."""

    def __init__(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: Precision
    ) -> None:
        """Load the checkpoint.

        Args:
            checkpoint: a checked checkpoint.
            writing: how captions are written; ``beam`` is not among MED's decodings.
            device: where it shall run.
            dtype: type of its weights; ``auto`` is float32 where the tower is convolutional.

        Raises:
            ModelError: it is damaged, or prompt and captions are too long for it.
        """
        if writing.decoding == "beam":
            raise ModelError(
                f"a {self.network.config_class.model_type} checkpoint samples or decodes greedily: "
                "there is no beam search"
            )
        super().__init__(checkpoint, device=device, dtype=dtype)
        self._writing = writing
        self._prompt_S = prompt_ids(self.tokenizer, writing.prompt).to(device)
        longest = len(self._prompt_S) + writing.max_tokens
        positions = self.model.config.max_text_tokens + 1  # the last token is never read again
        if longest > positions:
            raise ModelError(
                f"prompt and caption may take {longest} tokens, {checkpoint.name} has room for "
                f"{positions}: lower max_tokens"
            )

    @torch.inference_mode()
    def caption(
        self, images_B3HW: Pixels, uids: Sequence[str], draws: Sequence[int]
    ) -> list[list[str]]:
        """Write a caption for every image and draw, without the prompt."""
        if not len(uids):
            return []
        writing = self._writing
        keys = [
            stream_key(uid, round_number=writing.round_number, caption=draw)
            for uid in uids
            for draw in draws
        ]
        sampler = KeyedSampler(
            keys,
            writing.sampling,
            prompt_ids=self._prompt_S.tolist(),
            end_id=self.model.config.sep_token_id,
        )
        image_tokens_PMD = self.encode(images_B3HW).repeat_interleave(len(draws), 0)
        ids_PT = self.model.generate(image_tokens_PMD, self._prompt_S, writing.max_tokens, sampler)
        texts = self.tokenizer.batch_decode(ids_PT.tolist(), skip_special_tokens=True)
        words = [str(text).strip().removeprefix("##") for text in texts]
        return [words[start : start + len(draws)] for start in range(0, len(words), len(draws))]


@dataclass(frozen=True, slots=True)
class _Seen:
    """Embeddings of images [I, E], unit norm, and the tokens [I, M, D] that ITM attends to."""

    embeds: torch.Tensor
    tokens: torch.Tensor


class LoadedReader(LoadedMed):
    """A loaded checkpoint that embeds texts for a :class:`PairScorer`."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        dtype: Precision,
        texts_per_batch: int = 64,
    ) -> None:
        """Load the checkpoint.

        Args:
            checkpoint: a checked checkpoint.
            device: where it shall run.
            dtype: type of its weights; ``auto`` is float32 where the tower is convolutional.
            texts_per_batch: most texts, and most pairs, in one call of the text encoder.

        Raises:
            ModelError: it is damaged or incomplete.
        """
        super().__init__(checkpoint, device=device, dtype=dtype)
        self._device = device
        self._tokens = TextTokens(
            self.tokenizer,
            most_tokens=self.model.config.max_text_tokens,
            texts_per_batch=texts_per_batch,
        )

    def _read(self, batch: TextBatch) -> torch.Tensor:
        return self.model.encode_texts(batch.ids, batch.mask).float()

    def _text_embeds(self, read: torch.Tensor) -> torch.Tensor:
        return read


class MedScorer(LoadedReader, PairScorer[_Seen, torch.Tensor]):
    """Scores texts with a MED checkpoint: ITC and ITM."""

    gives = ("itc", "itm")

    def _see(self, images: Pixels) -> _Seen:
        tokens_IMD = self.encode(images)
        return _Seen(self.model.project_images(tokens_IMD).float(), tokens_IMD)

    def _judge(
        self, seen: _Seen, read: torch.Tensor, batch: TextBatch, pairs: Pairs
    ) -> dict[str, torch.Tensor]:
        images_P, texts_P = pairs.image_rows, pairs.text_rows
        itc_P = cosines(seen.embeds[images_P], read[texts_P])
        ids_PL, mask_PL = batch.ids[texts_P], batch.mask[texts_P]
        logits_P2 = self.model.fuse(ids_PL, mask_PL, seen.tokens, images_P)
        return {"itc": itc_P, "itm": matched(logits_P2)}

    def _image_embeds(self, seen: _Seen) -> torch.Tensor:
        return seen.embeds
