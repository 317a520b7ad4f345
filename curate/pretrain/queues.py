"""Two queues: the teacher's embeddings of earlier batches, kept as more negatives.

So the number of negatives is decoupled from the batch, and a few small devices train what else
takes many. Source: He et al. 2020, "MoCo", section 3.2 (https://arxiv.org/abs/1911.05722); for two
modalities: Huo et al. 2021, "WenLan", section 3.2 (https://arxiv.org/abs/2103.06561).

Shapes: B pairs, P projection, Q entries in the queue so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Queues:
    """A ring of pairs: image embeddings, text embeddings, and whose they are."""

    def __init__(self, size: int, device: torch.device) -> None:
        """Make empty queues.

        Args:
            size: most entries.
            device: where they are kept.
        """
        import torch

        self.size = size
        self.device = device
        self._images_QP = torch.empty(0)
        self._texts_QP = torch.empty(0)
        self._ids_Q = torch.empty(0, dtype=torch.int64, device=device)
        self._next = 0

    def __len__(self) -> int:
        return len(self._ids_Q)

    @property
    def image_ids(self) -> Tensor:
        """Numbers of the pictures [Q]; equal to a batch's where they show the same."""
        return self._ids_Q

    def image_embeds(self, like_BP: Tensor) -> Tensor:
        """Return image embeddings [Q, P]; none, of the form of ``like``, while empty."""
        return self._images_QP if len(self) else like_BP.detach()[:0]

    def text_embeds(self, like_BP: Tensor) -> Tensor:
        """Return text embeddings [Q, P]; none, of the form of ``like``, while empty."""
        return self._texts_QP if len(self) else like_BP.detach()[:0]

    def add(self, image_embeds_BP: Tensor, text_embeds_BP: Tensor, image_ids_B: Tensor) -> None:
        """Take a batch in; once full, the oldest entries go."""
        import torch

        new = (image_embeds_BP.detach(), text_embeds_BP.detach(), image_ids_B)
        new = (new[0][-self.size :], new[1][-self.size :], new[2][-self.size :])
        room = self.size - len(self)
        if room:
            old = (self.image_embeds(new[0]), self.text_embeds(new[1]), self._ids_Q)
            grown = [torch.cat([kept, fresh[:room]]) for kept, fresh in zip(old, new, strict=True)]
            self._images_QP, self._texts_QP, self._ids_Q = grown
            new = (new[0][room:], new[1][room:], new[2][room:])
        count = len(new[2])
        places = (torch.arange(count, device=self.device) + self._next) % self.size
        rings = (self._images_QP, self._texts_QP, self._ids_Q)
        for ring, fresh in zip(rings, new, strict=True):
            ring[places] = fresh
        self._next = (self._next + count) % self.size

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything it holds."""
        import torch

        return {
            "images": self._images_QP,
            "texts": self._texts_QP,
            "ids": self._ids_Q,
            "next": torch.tensor(self._next),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what ``state_dict`` returned."""
        self._images_QP = state["images"].to(self.device)
        self._texts_QP = state["texts"].to(self.device)
        self._ids_Q = state["ids"].to(self.device)
        self._next = int(state["next"])
