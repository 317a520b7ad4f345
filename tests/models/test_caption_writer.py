from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.models.med_models import pixels
from tests.pretrain.models import small_model


@pytest.mark.parametrize("name", ["med", "coca", "blip"])
def test_a_greedy_caption_is_the_likeliest_token_after_all_before_it(name: str) -> None:
    model: Any = small_model(name)
    config = model.config
    prompt = torch.tensor([config.dec_token_id, 12])
    with torch.no_grad():
        images = model.encode_images(pixels(5))
        written = model.generate(images, prompt, 7)
        for image, ids in zip(images, written.tolist(), strict=True):
            seen = prompt.tolist()
            for token in ids:
                logits = model.decode_logits(torch.tensor([seen]), image[None])[0, -1]
                logits[list(config.special_ids)] = -torch.inf
                assert token == logits.argmax()
                if token == config.sep_token_id:
                    break
                seen.append(token)
    assert len({tuple(ids) for ids in written.tolist()}) > 1, "all captions are alike"
    with pytest.raises(ValueError, match="do not fit into the model's 20 positions"):
        model.generate(images, prompt, 20)
