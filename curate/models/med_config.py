"""Configuration of MED, the mixture of encoder-decoder.

Source: Li et al. 2022, "BLIP", section 3.1 (https://arxiv.org/abs/2201.12086).
"""

import math
from typing import Any

from transformers import PreTrainedConfig

TOWERS = ("efficientnet_lite", "vit")
TEXT_POOLS = ("first", "mean")
ITM_EVIDENCE = ("state", "product")


class MedConfig(PreTrainedConfig):  # type: ignore[misc]
    """What a MED checkpoint is, and how its pictures are prepared.

    A picture is squashed to ``image_size`` x ``image_size`` RGB bytes (aspect ratio not kept, as
    BLIP does) and normalised on the device as ``(byte - image_mean) / image_std``.

    Attributes:
        image_tower: ``efficientnet_lite`` or ``vit``.
        tower_config: settings of a ViT tower (those of ``transformers.ViTConfig``); empty for
            EfficientNet-Lite0, which has none.
        image_size: side of the picture, pixels.
        image_mean: subtracted from the bytes, one per channel, in 0..255.
        image_std: divides, one per channel, in 0..255.
        vocab_size: entries of the vocabulary, [ENC] and [DEC] included.
        hidden_size: width of the text transformer.
        num_hidden_layers: layers of the text transformer.
        num_attention_heads: heads of every attention in it.
        intermediate_size: width inside its feed-forward layers.
        max_text_tokens: longest text, special tokens included.
        dropout: probability of dropping an activation or an attention weight in training.
        layer_norm_eps: epsilon of the text transformer's layer norms.
        text_pool: a text's embedding is its ``first`` token's, or the ``mean`` of its tokens'.
        itm_evidence: what the ITM head reads: the ``state`` of [ENC], as BLIP; or beside it the
            ``product`` of the grounded text's embedding and the image's.
        projection_size: width of the space that ITC compares in.
        start_temperature: ITC temperature of a new model.
        initializer_range: standard deviation of new embeddings.
    """

    model_type = "med"

    image_tower: str = "efficientnet_lite"
    tower_config: dict[str, Any] | None = None
    image_size: int = 224
    image_mean: list[float] | None = None
    image_std: list[float] | None = None
    vocab_size: int = 30524
    hidden_size: int = 384
    num_hidden_layers: int = 3
    num_attention_heads: int = 12
    intermediate_size: int = 1536
    max_text_tokens: int = 64
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    text_pool: str = "first"
    itm_evidence: str = "state"
    projection_size: int = 256
    start_temperature: float = 0.07
    initializer_range: float = 0.02
    pad_token_id: int = 0
    unk_token_id: int = 1
    cls_token_id: int = 2
    sep_token_id: int = 3
    mask_token_id: int = 4
    enc_token_id: int = 5
    dec_token_id: int = 6

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in what depends on other settings, and check them.

        Raises:
            ValueError: a setting outside its range.
        """
        self.tower_config = dict(self.tower_config or {})
        self.image_mean = list(self.image_mean or [127.0] * 3)
        self.image_std = list(self.image_std or [128.0] * 3)
        if self.image_tower not in TOWERS:
            raise ValueError(f"image_tower is {self.image_tower!r}; one of {', '.join(TOWERS)}")
        if self.text_pool not in TEXT_POOLS:
            raise ValueError(f"text_pool is {self.text_pool!r}; one of {', '.join(TEXT_POOLS)}")
        if self.itm_evidence not in ITM_EVIDENCE:
            raise ValueError(
                f"itm_evidence is {self.itm_evidence!r}; one of {', '.join(ITM_EVIDENCE)}"
            )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )
        super().__post_init__(**kwargs)

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Token ids that are never part of a written caption; the end, [SEP], is not among them."""
        return never_written(self)

    @property
    def start_log_scale(self) -> float:
        """Logarithm of a new model's logit scale."""
        return -math.log(self.start_temperature)


def never_written(config: Any) -> tuple[int, ...]:
    """Return the special ids of a config of a model that writes, the end left out."""
    names = ("pad", "unk", "cls", "mask", "enc", "dec")
    return tuple(int(getattr(config, f"{name}_token_id")) for name in names)
