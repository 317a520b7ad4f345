"""What training and evaluation ask of a model of images and texts.

The first methods every model has. Those below the line an architecture has or has not; a recipe
whose objectives ask for more than its architecture can is refused before anything is built.

Shapes: B texts, I images, C channels, H height, W width, L text tokens, M image tokens, D width,
P projection, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class PairModel(Protocol):
    """An image tower, an adapter behind it, and a text side.

    Attributes:
        config: has at least ``image_size``, ``max_text_tokens`` and the ids of special tokens.
        device: where it is.
        image_tower: what ``image_lr_scale`` is about, and what ``cache: image_tokens`` computes
            once.
        image_adapter: from the tower's tokens to those the other parts read.
        training: whether it drops out.
    """

    config: Any
    device: torch.device
    image_tower: Any
    image_adapter: Any
    training: bool

    def tower_tokens(self, pixels_ICHW: Tensor) -> Tensor:
        """Return the image tower's own tokens [I, M, tower width] of RGB bytes [I, 3, H, W]."""
        ...

    def encode_images(self, pixels_ICHW: Tensor) -> Tensor:
        """Return image tokens [I, M, D], the pooled one first, of RGB bytes [I, 3, H, W]."""
        ...

    def project_images(self, image_tokens_IMD: Tensor) -> Tensor:
        """Return image embeddings [I, P] of unit norm."""
        ...

    def encode_texts(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return text embeddings [B, P] of unit norm."""
        ...

    @property
    def logit_scale(self) -> Tensor:
        """What cosines are multiplied by."""
        ...

    def clamp_temperature(self) -> None:
        """Bring the temperature back into its range; called after each optimizer step."""
        ...

    def parameters(self) -> Any:
        """Return the parameters, as ``nn.Module`` does."""
        ...

    def named_parameters(self) -> Any:
        """Return the parameters with their names, as ``nn.Module`` does."""
        ...

    def modules(self) -> Any:
        """Return the modules, as ``nn.Module`` does."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return weights and buffers by name."""
        ...

    def load_state_dict(self, state: dict[str, Tensor], *, strict: bool = True) -> Any:
        """Take weights and buffers over."""
        ...

    def train(self) -> Any:
        """Switch to training."""
        ...

    def eval(self) -> Any:
        """Switch to evaluation."""
        ...

    def to(self, *where: Any) -> Any:
        """Move."""
        ...

    def save_pretrained(self, folder: Any) -> Any:
        """Write config.json and model.safetensors."""
        ...

    # --- what not every architecture has

    @property
    def logit_bias(self) -> Tensor:
        """What is added to scaled cosines. Of models that can ``bias``."""
        ...

    def fuse(
        self,
        ids_BL: Tensor,
        mask_BL: Tensor,
        image_tokens_IMD: Tensor,
        image_rows_B: Tensor | None = None,
    ) -> Tensor:
        """Return ITM logits [B, 2]: unmatched, matched. Of models that can ``match``."""
        ...

    def decode_logits(
        self, ids_BL: Tensor, image_tokens_IMD: Tensor, image_rows_B: Tensor | None = None
    ) -> Tensor:
        """Return logits [B, L, V] of the token after each. Of models that can ``write``."""
        ...

    def prefix_logits(self, ids_BL: Tensor, prefix_B: Tensor, image_tokens_IMD: Tensor) -> Tensor:
        """Return logits [B, L, V] of the token after each. Of models that can ``prefix``.

        The first ``prefix`` tokens of a text see each other both ways.
        """
        ...

    def mask_logits(self, ids_BL: Tensor, mask_BL: Tensor, image_tokens_IMD: Tensor) -> Tensor:
        """Return logits [B, L, V] of each token itself. Of models that can ``unmask``."""
        ...


def normalised(pixels_ICHW: Tensor, config: Any, like: Tensor) -> Tensor:
    """Return ``(byte - mean) / std`` of RGB bytes [I, 3, H, W], in the type of ``like``."""
    mean = torch.tensor(config.image_mean, device=pixels_ICHW.device)[:, None, None]
    std = torch.tensor(config.image_std, device=pixels_ICHW.device)[:, None, None]
    return ((pixels_ICHW.float() - mean) / std).to(like.dtype)
