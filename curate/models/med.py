"""MED, BLIP's mixture of encoder-decoder, as a transformers model.

An image tower and a text transformer that serves as text encoder (ITC), image-grounded encoder
(ITM) and image-grounded decoder (LM). Source: Li et al. 2022, "BLIP", section 3.1
(https://arxiv.org/abs/2201.12086).

``MedModel.from_pretrained(folder, dtype=torch.float32)`` reads what ``save_pretrained`` wrote;
``dtype`` matters, since checkpoints may be stored in half precision.

Shapes: B texts, I images, C channels, H height, W width, L text tokens, M image tokens, D width,
P projection, V vocabulary, S tokens of a prompt, T new tokens.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from curate.models.caption_writer import CaptionWriter
from curate.models.image_towers import build_tower
from curate.models.med_config import MedConfig
from curate.models.med_text import DecoderCache, StartsAtZero, TextTransformer
from curate.models.pair_model import normalised

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.001, 0.5


class ImageAdapter(nn.Module):
    """Brings a tower's tokens to the text's width, and tells grid cells their places."""

    def __init__(self, config: MedConfig, *, width: int, num_positions: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.positions = nn.Embedding(num_positions, config.hidden_size) if num_positions else None

    def forward(self, tower_tokens_IMD: Tensor) -> Tensor:
        """Map [I, M, tower width] to [I, M, D]."""
        x_IMD: Tensor = self.project(tower_tokens_IMD)
        if self.positions is not None:
            x_IMD = x_IMD + self.positions.weight
        normed: Tensor = self.norm(x_IMD)
        return normed


class LmHead(nn.Module):
    """Hidden states to logits, through the transposed word embeddings."""

    def __init__(self, config: MedConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, x_BLD: Tensor, words_VD: Tensor) -> Tensor:
        """Return logits [B, L, V]."""
        return F.linear(self.norm(F.gelu(self.dense(x_BLD))), words_VD, self.bias)


class MedModel(CaptionWriter, PreTrainedModel):  # type: ignore[misc]
    """The mixture of encoder-decoder.

    Example:
        >>> model = MedModel(MedConfig(vocab_size=100, hidden_size=24, num_attention_heads=2))
        >>> image_tokens = model.encode_images(torch.zeros(2, 3, 224, 224, dtype=torch.uint8))
        >>> image_tokens.shape
        torch.Size([2, 50, 24])
    """

    config_class = MedConfig
    base_model_prefix = "med"
    main_input_name = "pixels_ICHW"
    _supports_sdpa = True

    def __init__(self, config: MedConfig) -> None:
        super().__init__(config)
        self.image_tower = build_tower(config)
        tower = self.image_tower
        self.image_adapter: nn.Module = ImageAdapter(
            config,
            width=tower.width,
            num_positions=0 if tower.knows_positions else tower.num_tokens,
        )
        self.text: Any = self._build_text(config)
        self.image_projection = nn.Linear(config.hidden_size, config.projection_size)
        self.text_projection = nn.Linear(config.hidden_size, config.projection_size)
        self.log_logit_scale = nn.Parameter(torch.tensor(config.start_log_scale))
        product_size = config.projection_size if config.itm_evidence == "product" else 0
        self.itm_head = nn.Linear(config.hidden_size + product_size, 2)
        self.lm_head = LmHead(config)
        self.post_init()

    def _build_text(self, config: MedConfig) -> nn.Module:
        return TextTransformer(config)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, StartsAtZero):
            init.zeros_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            # keeps the variance; with BERT's 0.02, ITM stays at chance for thousands of steps
            init.normal_(module.weight, mean=0.0, std=module.in_features**-0.5)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
        elif isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            _init_batch_norm(module)
        elif isinstance(module, LmHead):
            init.zeros_(module.bias)
        elif isinstance(module, MedModel):
            init.constant_(module.log_logit_scale, self.config.start_log_scale)

    # --- images

    def tower_tokens(self, pixels_ICHW: Tensor) -> Tensor:
        """Return the image tower's own tokens [I, M, tower width].

        Args:
            pixels_ICHW: RGB bytes, uint8 [I, 3, image_size, image_size]; normalised here.
        """
        like = self.image_projection.weight
        tokens: Tensor = self.image_tower(normalised(pixels_ICHW, self.config, like))
        return tokens

    def encode_images(self, pixels_ICHW: Tensor) -> Tensor:
        """Return image tokens [I, M, D], the pooled one first, for every other method.

        Args:
            pixels_ICHW: RGB bytes, uint8 [I, 3, image_size, image_size]; normalised here.
        """
        tokens: Tensor = self.image_adapter(self.tower_tokens(pixels_ICHW))
        return tokens

    def project_images(self, image_tokens_IMD: Tensor) -> Tensor:
        """Return image embeddings [I, P] of unit norm."""
        return F.normalize(self.image_projection(image_tokens_IMD[:, 0]), dim=-1)

    # --- texts

    def encode_texts(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return text embeddings [B, P] of unit norm; their products with images' are cosines.

        Args:
            ids_BL: token ids, [CLS] first.
            mask_BL: 1 where there is a token, 0 where there is padding.
        """
        return self._project_texts(self.text.encode(ids_BL, mask_BL), mask_BL)

    def _project_texts(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        if self.config.text_pool == "mean":
            weight_BL1 = mask_BL.unsqueeze(-1).to(x_BLD.dtype)
            pooled_BD = (x_BLD * weight_BL1).sum(1) / weight_BL1.sum(1)
        else:
            pooled_BD = x_BLD[:, 0]
        return F.normalize(self.text_projection(pooled_BD), dim=-1)

    @property
    def logit_scale(self) -> Tensor:
        """What ITC multiplies cosines by: one over the temperature."""
        return self.log_logit_scale.exp()

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Bring the temperature back into [0.001, 0.5]; call after each optimizer step."""
        low, high = torch.tensor([1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE]).log().tolist()
        self.log_logit_scale.clamp_(low, high)

    def fuse(
        self,
        ids_BL: Tensor,
        mask_BL: Tensor,
        image_tokens_IMD: Tensor,
        image_rows_B: Tensor | None = None,
    ) -> Tensor:
        """Return ITM logits [B, 2]: unmatched, matched.

        The first token is replaced by [ENC] here, whatever it was. The head reads its state; with
        ``itm_evidence: product`` also the product of the grounded text's embedding and the image's
        (as in ViLBERT, section 3.1, https://arxiv.org/abs/1908.02265): a small matcher that has to
        discover products by itself stays at chance for thousands of steps.

        Args:
            ids_BL: token ids, as for ``encode_texts``.
            mask_BL: 1 where there is a token, 0 where there is padding.
            image_tokens_IMD: from ``encode_images``.
            image_rows_B: the image of each text; text number b looks at image number b when None.
        """
        grounded = ids_BL.clone()
        grounded[:, 0] = self.config.enc_token_id
        x_BLD = self.text.encode(grounded, mask_BL, image_tokens_IMD, image_rows_B)
        evidence_BE = x_BLD[:, 0]
        if self.config.itm_evidence == "product":
            image_embeds_BP = self.project_images(image_tokens_IMD)
            if image_rows_B is not None:
                image_embeds_BP = image_embeds_BP[image_rows_B]
            product_BP = self._project_texts(x_BLD, mask_BL) * image_embeds_BP
            # unit vectors of P numbers: times P, so that a product is of the size of a state
            product_BP = product_BP * self.config.projection_size
            evidence_BE = torch.cat([evidence_BE, product_BP], -1)
        logits_B2: Tensor = self.itm_head(evidence_BE)
        return logits_B2

    def decode_logits(
        self,
        ids_BL: Tensor,
        image_tokens_IMD: Tensor,
        image_rows_B: Tensor | None = None,
        *,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """Return logits [B, L, V] of the token after each of the given ones.

        Args:
            ids_BL: token ids, [DEC] first; padding may only stand at the end.
            image_tokens_IMD: from ``encode_images``.
            image_rows_B: the image of each text; text number b looks at image number b when None.
            cache: an empty one with the prompt, then the same one with one token at a time.
        """
        x_BLD = self.text.decode(ids_BL, image_tokens_IMD, image_rows_B, cache=cache)
        logits: Tensor = self.lm_head(x_BLD, self.text.words.weight)
        return logits

    def prefix_logits(self, ids_BL: Tensor, prefix_B: Tensor, image_tokens_IMD: Tensor) -> Tensor:
        """Return logits [B, L, V] of the token after each, a prefix of each text read both ways.

        Args:
            ids_BL: token ids, [DEC] first; padding may only stand at the end.
            prefix_B: tokens of the prefix, [DEC] counted.
            image_tokens_IMD: from ``encode_images``.
        """
        x_BLD = self.text.decode(ids_BL, image_tokens_IMD, prefix_B=prefix_B)
        logits: Tensor = self.lm_head(x_BLD, self.text.words.weight)
        return logits

    def mask_logits(self, ids_BL: Tensor, mask_BL: Tensor, image_tokens_IMD: Tensor) -> Tensor:
        """Return logits [B, L, V] of each token itself, from its text both ways and the image.

        Args:
            ids_BL: token ids, some of them [MASK].
            mask_BL: 1 where there is a token, 0 where there is padding.
            image_tokens_IMD: from ``encode_images``.
        """
        x_BLD = self.text.encode(ids_BL, mask_BL, image_tokens_IMD)
        logits: Tensor = self.lm_head(x_BLD, self.text.words.weight)
        return logits


def _init_batch_norm(norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    init.ones_(norm.weight)
    init.zeros_(norm.bias)
    init.zeros_(norm.running_mean)
    init.ones_(norm.running_var)
    init.zeros_(norm.num_batches_tracked)
