"""Small MED models with random weights, made on the spot."""

from __future__ import annotations

import torch
from transformers import PreTrainedTokenizerFast

from curate.models.med import MedModel
from curate.models.med_config import MedConfig
from curate.models.med_tokenizer import build_tokenizer, word_pieces

TEXTS = (
    "a red dog on the grass",
    "two green birds",
    "the old man sits in a boat beside the small house",
    "snow",
    "a blue cat, running!",
)
SIDE = 32

# Networks this small only lose by a second thread, and tests run beside each other.
torch.set_num_threads(1)


def med_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer that knows the words of ``TEXTS``."""
    return build_tokenizer(word_pieces(TEXTS, 150))


def med_config(
    *, tower: str = "vit", pool: str = "first", evidence: str = "state", vocab_size: int = 157
) -> MedConfig:
    """Return a config of two narrow layers and pictures of 32 pixels."""
    vit = {
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"intermediate_size": 24, "patch_size": 16},
    }
    return MedConfig(
        image_tower=tower,
        tower_config=vit if tower == "vit" else None,
        image_size=SIDE,
        vocab_size=vocab_size,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        max_text_tokens=20,
        projection_size=12,
        text_pool=pool,
        itm_evidence=evidence,
    )


def med_model(
    *,
    tower: str = "vit",
    pool: str = "first",
    evidence: str = "state",
    seed: int = 0,
    spread: float = 0.2,
) -> MedModel:
    """Return a model in evaluation mode whose every weight matters.

    ``spread`` is the deviation of its weights, those that a new model starts at zero included.
    """
    torch.manual_seed(seed)
    size = len(med_tokenizer())
    model = MedModel(med_config(tower=tower, pool=pool, evidence=evidence, vocab_size=size))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and not name.startswith("image_tower."):
                weight.normal_(0, spread)
    return model.eval()


def pixels(count: int, *, seed: int = 0) -> torch.Tensor:
    """Return random pictures, uint8 [I, 3, 32, 32]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
