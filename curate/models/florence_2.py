"""Florence-2 of transformers: a task is asked for, and an encoder-decoder answers.

Source: Xiao et al. 2023, "Florence-2" (https://arxiv.org/abs/2311.06242), section 3; the network is
``transformers.models.florence2``, its task tokens stand for the questions of its processor.

The encoder reads the picture's tokens, then the question. It runs once per image, as the tower.
"""

from __future__ import annotations

import torch

from curate.core.errors import ModelError
from curate.models.base import Writing
from curate.models.checkpoints import Checkpoint
from curate.models.encode_once import EncodeOnce
from curate.models.keyed_generation import (
    KeyedGeneration,
    Prompt,
    as_row,
    ids_of,
    require_room,
    special_ids,
    text_positions,
)
from curate.models.loading import load_model, load_tokenizer
from curate.models.picture_processing import PictureProcessing
from curate.models.prompted_captioner import PromptedCaptioner

#: What the captioning tasks ask; other tasks answer with places or need an input.
QUESTIONS = {
    "<CAPTION>": "What does the image describe?",
    "<DETAILED_CAPTION>": "Describe in detail what is shown in the image.",
    "<MORE_DETAILED_CAPTION>": "Describe with a paragraph what is shown in the image.",
}
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


class Florence2Captioner(PromptedCaptioner):
    """Writes captions with a ``Florence2ForConditionalGeneration`` checkpoint."""

    def __init__(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Load the checkpoint.

        Raises:
            ModelError: it is damaged, its prompt is no captioning task, or captions are too long
                for it.
        """
        from transformers import Florence2ForConditionalGeneration

        model = load_model(
            Florence2ForConditionalGeneration, checkpoint, device=device, dtype=dtype
        )
        self.signature = checkpoint.signature
        pictures = PictureProcessing(checkpoint, defaults={**_IMAGENET, "size": 768})
        self._pictures = pictures
        tokenizer = load_tokenizer(checkpoint)
        special = special_ids(model, tokenizer)
        start = special.decoder_start
        if start is None:
            raise ModelError(
                f"nothing in {checkpoint.folder} says with which token its decoder begins: put "
                "decoder_start_token_id into the text_config of its config.json"
            )
        self._model = model
        self._like = next(model.model.vision_tower.parameters())
        ids = self._question(tokenizer, writing.prompt, (pictures.height, pictures.width))
        needed = max(len(ids), 1 + writing.max_tokens)
        require_room(checkpoint.name, needed=needed, positions=text_positions(model.config))
        inputs = {"input_ids": as_row(ids), "attention_mask": as_row([1] * len(ids))}
        inner = model.model
        self._generation = KeyedGeneration(
            model=model,
            tokenizer=tokenizer,
            prompt=Prompt({**inputs, "decoder_input_ids": as_row([int(start)])}, (int(start),)),
            special=special,
            writing=writing,
            once=EncodeOnce(
                inner.vision_tower, inner.multi_modal_projector, inner.language_model.encoder
            ),
        )
        self._generation.govern(model)

    @torch.inference_mode()
    def _question(self, tokenizer: object, task: str, size: tuple[int, int]) -> list[int]:
        """Return the encoder's ids: a place for each token of the picture, then the question."""
        if task not in QUESTIONS:
            raise ModelError(f"prompt is {task!r}: Florence-2 captions by {', '.join(QUESTIONS)}")
        plain = torch.zeros((1, 3, *size), dtype=self._like.dtype, device=self._like.device)
        tokens_1LD = self._model.get_image_features(pixel_values=plain).pooler_output
        image_id = int(self._model.config.image_token_id)
        return [image_id] * tokens_1LD.shape[1] + ids_of(tokenizer, QUESTIONS[task], special=True)
