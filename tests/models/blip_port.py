"""BLIP's forward pass for ITC and ITM as the paper describes it, in plain torch.

Source: Li et al. 2022, "BLIP" (https://arxiv.org/abs/2201.12086), section 3.1 and figure 2; the
blocks are those of ViT (https://arxiv.org/abs/2010.11929, equations 1 to 4) and BERT
(https://arxiv.org/abs/1810.04805). Written from the papers, with the names of the checkpoint's
weights and nothing else of transformers, as something to compare with.

Shapes: L tokens, M image tokens, H heads, D width, E projection.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor


class BlipPort:
    """The weights of a ``BlipForImageTextRetrieval`` checkpoint and what is computed from them."""

    def __init__(self, folder: Path, *, image_heads: int, text_heads: int, patch: int) -> None:
        self.weights = load_file(folder / "model.safetensors")
        self.image_heads, self.text_heads, self.patch = image_heads, text_heads, patch

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, name: str, x: Tensor, eps: float) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    @staticmethod
    def _attend(q_LD: Tensor, k_MD: Tensor, v_MD: Tensor, heads: int) -> Tensor:
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(0, 1) for x in (q_LD, k_MD, v_MD))
        weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)
        return (weights @ v).transpose(0, 1).flatten(1)

    def _count(self, prefix: str) -> int:
        layers = {name[len(prefix) :].split(".")[0] for name in self.weights if prefix in name}
        return len(layers)

    def see(self, pixels_3HW: Tensor) -> Tensor:
        """Return image tokens [M, D]: ViT, norms ahead of attention and of the MLP."""
        w, p = self.weights, self.patch
        cut = pixels_3HW.unfold(1, p, p).unfold(2, p, p).permute(1, 2, 0, 3, 4).flatten(2)
        kernel = w["vision_model.embeddings.patch_embedding.weight"].flatten(1)
        bias = w["vision_model.embeddings.patch_embedding.bias"]
        patches = cut.flatten(0, 1) @ kernel.T + bias
        x = torch.cat([w["vision_model.embeddings.class_embedding"][0], patches])
        x = x + w["vision_model.embeddings.position_embedding"][0]
        for n in range(self._count("vision_model.encoder.layers.")):
            name = f"vision_model.encoder.layers.{n}"
            qkv = self._linear(f"{name}.self_attn.qkv", self._norm(f"{name}.layer_norm1", x, 1e-5))
            seen = self._attend(*qkv.chunk(3, -1), self.image_heads)
            x = x + self._linear(f"{name}.self_attn.projection", seen)
            hidden = self._linear(f"{name}.mlp.fc1", self._norm(f"{name}.layer_norm2", x, 1e-5))
            x = x + self._linear(f"{name}.mlp.fc2", F.gelu(hidden))
        return self._norm("vision_model.post_layernorm", x, 1e-5)

    def read(self, ids_L: Tensor, image_MD: Tensor | None = None) -> Tensor:
        """Return the text encoder's states [L, D], grounded in an image where one is given."""
        w, base = self.weights, "text_encoder.embeddings"
        x = w[f"{base}.word_embeddings.weight"][ids_L]
        x = x + w[f"{base}.position_embeddings.weight"][: len(ids_L)]
        x = self._norm(f"{base}.LayerNorm", x, 1e-12)
        for n in range(self._count("text_encoder.encoder.layer.")):
            layer = f"text_encoder.encoder.layer.{n}"
            x = self._bert_attention(f"{layer}.attention", x, x)
            if image_MD is not None:
                x = self._bert_attention(f"{layer}.crossattention", x, image_MD)
            hidden = F.gelu(self._linear(f"{layer}.intermediate.dense", x))
            x = x + self._linear(f"{layer}.output.dense", hidden)
            x = self._norm(f"{layer}.output.LayerNorm", x, 1e-12)
        return x

    def _bert_attention(self, name: str, x_LD: Tensor, over_MD: Tensor) -> Tensor:
        query = self._linear(f"{name}.self.query", x_LD)
        key, value = (self._linear(f"{name}.self.{what}", over_MD) for what in ("key", "value"))
        read = self._attend(query, key, value, self.text_heads)
        out = x_LD + self._linear(f"{name}.output.dense", read)
        return self._norm(f"{name}.output.LayerNorm", out, 1e-12)

    def itc(self, pixels_3HW: Tensor, ids_L: Tensor) -> float:
        """Return the cosine of an image and a text."""
        image_E = self._linear("vision_proj", self.see(pixels_3HW)[0])
        text_E = self._linear("text_proj", self.read(ids_L)[0])
        return float(image_E @ text_E / (image_E.norm() * text_E.norm()))

    def itm(self, pixels_3HW: Tensor, ids_L: Tensor, first_id: int) -> float:
        """Return the probability of a match, with ``first_id`` ([ENC] or [CLS]) ahead."""
        ids_L = torch.cat([torch.tensor([first_id]), ids_L[1:]])
        state_D = self.read(ids_L, self.see(pixels_3HW))[0]
        return float(self._linear("itm_head", state_D).softmax(-1)[1])
