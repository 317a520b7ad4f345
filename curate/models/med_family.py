"""MED checkpoints, curate's own mixture of encoder-decoder, as captioner and scorer.

Source: Li et al. 2022, "BLIP", section 3.1 (https://arxiv.org/abs/2201.12086). The image tower runs
once per image: for several captions, and for ITC and ITM of all texts alike.

Shapes: I images, P texts or captions, S prompt tokens, T new tokens, L tokens, M image tokens,
D width, E projection.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from curate.core.errors import ModelError
from curate.models.base import Pixels, Writing
from curate.models.checkpoints import Checkpoint
from curate.models.loading import Precision, choose_dtype, load_model, load_tokenizer
from curate.models.med import MedModel
from curate.models.med_pixels import square_pixels
from curate.models.med_tokenizer import prompt_ids, tokenize
from curate.models.sampling import KeyedSampler, stream_key

MODEL_TYPES = ("med",)


class _Med:
    """A loaded checkpoint."""

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
        self.model: MedModel = load_model(MedModel, checkpoint, device=device, dtype=weights)

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Squash an RGB picture to the model's square, uint8 [3, S, S], as in training."""
        # A decoder's array may be read-only, which torch warns of.
        pixels = torch.from_numpy(np.array(image_HW3))
        return square_pixels(pixels, self.model.config.image_size).numpy()

    def encode(self, images_I3HW: Pixels) -> torch.Tensor:
        """Return image tokens [I, M, D]."""
        pixels = torch.from_numpy(images_I3HW).to(self.device, non_blocking=True)
        return self.model.encode_images(pixels)


class MedCaptioner(_Med):
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
                "a MED checkpoint samples or decodes greedily: there is no beam search"
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


class MedScorer(_Med):
    """Scores texts with a MED checkpoint: ITC and ITM."""

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
            texts_per_batch: most texts in one call of the text encoder.

        Raises:
            ModelError: it is damaged or incomplete.
        """
        super().__init__(checkpoint, device=device, dtype=dtype)
        self._texts_per_batch = texts_per_batch

    @torch.inference_mode()
    def score(
        self, images_B3HW: Pixels, texts: Sequence[str], images_of: Sequence[int]
    ) -> dict[str, NDArray[np.float32]]:
        """Return ``itc`` (cosines) and ``itm`` (probabilities), float32 [texts].

        Texts longer than the model's positions are cut.
        """
        itc = np.zeros(len(texts), dtype=np.float32)
        itm = np.zeros(len(texts), dtype=np.float32)
        if not len(texts):
            return {"itc": itc, "itm": itm}
        model, device = self.model, self.device
        image_tokens_IMD = self.encode(images_B3HW)
        image_embeds_IE = model.project_images(image_tokens_IMD).float()
        longest = model.config.max_text_tokens
        # Shortest first, so that little is padded.
        lengths = [len(text) for text in texts]
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        for start in range(0, len(order), self._texts_per_batch):
            places = order[start : start + self._texts_per_batch]
            ids_PL, mask_PL = tokenize(self.tokenizer, [texts[p] for p in places], longest)
            ids_PL, mask_PL = ids_PL.to(device), mask_PL.to(device)
            rows_P = torch.tensor([images_of[place] for place in places], device=device)
            text_embeds_PE = model.encode_texts(ids_PL, mask_PL).float()
            cosines_P = (image_embeds_IE[rows_P] * text_embeds_PE).sum(-1)
            logits_P2 = model.fuse(ids_PL, mask_PL, image_tokens_IMD, rows_P).float()
            itc[places] = cosines_P.clamp(-1, 1).cpu().numpy()
            itm[places] = logits_P2.softmax(-1)[:, 1].cpu().numpy()
        return {"itc": itc, "itm": itm}
