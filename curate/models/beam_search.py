"""Beam search: the likeliest captions of some width, where greedy decoding keeps a single one.

Source: Graves 2012, section 2.5 (https://arxiv.org/abs/1211.3711); captions are compared by the
mean log probability of their tokens, as BLIP's are (https://arxiv.org/abs/2201.12086, whose figures
are of three beams).

Shapes: I images, K beams, L tokens so far, V vocabulary, T new tokens, D width, M image tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from curate.models.pair_model import PairModel


@torch.no_grad()
def beam_search(
    model: PairModel,
    image_tokens_IMD: Tensor,
    prompt_ids_S: Tensor,
    num_tokens: int,
    *,
    num_beams: int,
) -> Tensor:
    """Write a caption for every image.

    Args:
        model: one that can write, in evaluation mode.
        image_tokens_IMD: from ``encode_images``.
        prompt_ids_S: ids of the prompt, the same for every image.
        num_tokens: most new tokens, [SEP] included.
        num_beams: unfinished captions that are kept of each image.

    Returns:
        New ids [I, T]; after [SEP] there is only [PAD]. Of an image whose every beam is still
        unfinished at the end, the likeliest of these.
    """
    config = model.config
    num_images = len(image_tokens_IMD)
    search = _Search(num_images, num_beams, num_tokens, config.pad_token_id, prompt_ids_S.device)
    ids_BL = prompt_ids_S.expand(num_images * num_beams, -1)
    rows_B = torch.arange(num_images, device=ids_BL.device).repeat_interleave(num_beams)
    for _ in range(num_tokens):
        logits_BV = model.decode_logits(ids_BL, image_tokens_IMD, rows_B)[:, -1].float()
        logits_BV[:, list(config.special_ids)] = -torch.inf
        parents_B, next_B = search.step(logits_BV.log_softmax(-1), sep=config.sep_token_id)
        ids_BL = torch.cat([ids_BL[parents_B], next_B[:, None]], 1)
        if search.settled:
            break
    return search.best()


class _Search:
    """The beams of every image, and the best caption that has ended."""

    def __init__(
        self, num_images: int, num_beams: int, num_tokens: int, pad: int, device: torch.device
    ) -> None:
        self.num_beams, self.num_tokens = num_beams, num_tokens
        #: Summed log probability of the beams; at first all but one are copies.
        self.sums_IK = torch.full((num_images, num_beams), -torch.inf, device=device)
        self.sums_IK[:, 0] = 0.0
        self.written_IKT = torch.full(
            (num_images, num_beams, num_tokens), pad, dtype=torch.int64, device=device
        )
        self.ended_I = torch.full((num_images,), -torch.inf, device=device)
        self.best_IT = self.written_IKT[:, 0].clone()
        self.length = 0

    def step(self, log_probs_BV: Tensor, *, sep: int) -> tuple[Tensor, Tensor]:
        """Take a token more; returns each beam's parent and new token, both [I * K]."""
        num_images, num_beams = self.sums_IK.shape
        images_I = torch.arange(num_images, device=self.sums_IK.device)
        reached_IKV = self.sums_IK[..., None] + log_probs_BV.view(num_images, num_beams, -1)
        self.length += 1
        self._end(reached_IKV[..., sep], sep)
        reached_IKV[..., sep] = -torch.inf
        vocabulary = reached_IKV.shape[-1]
        self.sums_IK, chosen_IK = reached_IKV.flatten(1).topk(num_beams)
        parents_IK, next_IK = chosen_IK // vocabulary, chosen_IK % vocabulary
        self.written_IKT = self.written_IKT[images_I[:, None], parents_IK]
        self.written_IKT[..., self.length - 1] = next_IK
        offset_I1 = (images_I * num_beams)[:, None]
        return (offset_I1 + parents_IK).flatten(), next_IK.flatten()

    def _end(self, sums_IK: Tensor, sep: int) -> None:
        """Keep each image's best caption that ends here, where it beats those that ended before."""
        mean_I, beam_I = (sums_IK / self.length).max(1)
        better_I = mean_I > self.ended_I
        images_I = torch.arange(len(beam_I), device=beam_I.device)
        ending_IT = self.written_IKT[images_I, beam_I].clone()
        ending_IT[:, self.length - 1] = sep
        self.best_IT = torch.where(better_I[:, None], ending_IT, self.best_IT)
        self.ended_I = torch.maximum(self.ended_I, mean_I)

    @property
    def settled(self) -> bool:
        """Whether no beam can beat what has ended: a further token only lowers its sum."""
        most_I = self.sums_IK.max(1).values / self.num_tokens
        return bool((self.ended_I >= most_I).all())

    def best(self) -> Tensor:
        """Return each image's best ended caption, or its best beam where none has ended."""
        ended_I1 = self.ended_I.isfinite()[:, None]
        found = torch.where(ended_I1, self.best_IT, self.written_IKT[:, 0])
        return found[:, : self.length]
