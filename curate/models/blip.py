"""BLIP checkpoints of transformers as captioner and scorer.

Source: Li et al. 2022, "BLIP" (https://arxiv.org/abs/2201.12086); the networks are those of
``transformers.models.blip``. The vision tower runs once per image: for several captions, and for
ITC and ITM of all texts alike.

Shapes: B images, P captions or pairs, U distinct texts of a batch, L tokens, D width, E projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from curate.core.errors import ModelError
from curate.models.base import Pixels, Writing
from curate.models.checkpoints import Checkpoint
from curate.models.loading import load_model, load_tokenizer
from curate.models.pair_scorer import LoadedScorer, cosines, matched, unit
from curate.models.picture_processing import CLIP_MEAN, CLIP_STD, PictureProcessing
from curate.models.sampling import FiniteLogits, KeyedLogits, KeyedSampler, stream_key
from curate.models.text_tokens import Pairs, TextBatch, TextTokens

MODEL_TYPES = ("blip",)


def blip_pictures(checkpoint: Checkpoint, *, image_size: int) -> PictureProcessing:
    """Return BLIP's picture processing: squash to a square, aspect ratio not kept.

    Raises:
        ModelError: the checkpoint's settings are not for pictures of that size.
    """
    defaults = {"size": image_size, "image_mean": CLIP_MEAN, "image_std": CLIP_STD}
    return PictureProcessing(checkpoint, defaults=defaults, side=image_size)


class BlipCaptioner:
    """Writes captions with a ``BlipForConditionalGeneration`` checkpoint."""

    def __init__(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Load the checkpoint.

        Raises:
            ModelError: it is no captioner, is damaged, or prompt and captions are too long for it.
        """
        from transformers import BlipForConditionalGeneration, GenerationConfig

        model = load_model(BlipForConditionalGeneration, checkpoint, device=device, dtype=dtype)
        text = model.config.text_config
        self.signature = checkpoint.signature
        self._images = blip_pictures(checkpoint, image_size=model.config.vision_config.image_size)
        self._tokenizer = load_tokenizer(checkpoint)
        self._model = model
        self._writing = writing
        self._end_id = int(text.sep_token_id)
        words = self._tokenizer(writing.prompt, add_special_tokens=False)["input_ids"]
        self._prompt_ids = [int(text.bos_token_id), *words]
        longest = len(self._prompt_ids) + writing.max_tokens
        if longest > text.max_position_embeddings:
            raise ModelError(
                f"prompt and caption may take {longest} tokens, {checkpoint.name} has positions "
                f"for {text.max_position_embeddings}: lower max_tokens"
            )
        # Old checkpoints carry generation settings of their own, which would mix with ours.
        model.text_decoder.generation_config = GenerationConfig(
            eos_token_id=self._end_id, pad_token_id=int(text.pad_token_id), do_sample=False
        )

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Bring an RGB picture to the model's size, uint8 [3, H, W]."""
        return self._images.prepare(image_HW3)

    @torch.inference_mode()
    def caption(
        self, images_B3HW: Pixels, uids: Sequence[str], draws: Sequence[int]
    ) -> list[list[str]]:
        """Write a caption for every image and draw, without the prompt."""
        if not len(uids):
            return []
        vision = self._model.vision_model
        pixels = self._images.normalised(images_B3HW, vision.embeddings.class_embedding)
        image_tokens_BLD = vision(pixel_values=pixels).last_hidden_state
        if self._writing.decoding == "beam":
            ids_PL = self._generate(image_tokens_BLD, **self._beam_settings(len(draws)))
        else:
            image_tokens_PLD = image_tokens_BLD.repeat_interleave(len(draws), 0)
            processor = self._processor(uids, draws)
            ids_PL = self._generate(image_tokens_PLD, logits_processor=[processor])
        texts = [self._text(ids) for ids in ids_PL.tolist()]
        return [texts[start : start + len(draws)] for start in range(0, len(texts), len(draws))]

    def _generate(self, image_tokens_PLD: Tensor, **settings: Any) -> Tensor:
        """Return ids [P', L], the prompt's first."""
        count = len(image_tokens_PLD)
        prompt = torch.tensor([self._prompt_ids], device=image_tokens_PLD.device)
        ids: Tensor = self._model.text_decoder.generate(
            input_ids=prompt.expand(count, -1),
            attention_mask=torch.ones_like(prompt).expand(count, -1),
            encoder_hidden_states=image_tokens_PLD,
            max_new_tokens=self._writing.max_tokens,
            **settings,
        )
        return ids

    def _processor(self, uids: Sequence[str], draws: Sequence[int]) -> KeyedLogits:
        writing = self._writing
        keys = [
            stream_key(uid, round_number=writing.round_number, caption=draw)
            for uid in uids
            for draw in draws
        ]
        sampler = KeyedSampler(
            keys, writing.sampling, prompt_ids=self._prompt_ids, end_id=self._end_id
        )
        return KeyedLogits(sampler, prompt_length=len(self._prompt_ids))

    def _beam_settings(self, num_captions: int) -> dict[str, Any]:
        writing = self._writing
        return {
            "num_beams": writing.num_beams,
            "num_return_sequences": num_captions,
            "min_new_tokens": writing.sampling.min_tokens,
            "repetition_penalty": writing.sampling.repetition_penalty,
            "logits_processor": [FiniteLogits()],
        }

    def _text(self, ids: list[int]) -> str:
        """Return the new words; a first piece that continues the prompt's word is one too."""
        words = ids[len(self._prompt_ids) :]
        text = str(self._tokenizer.decode(words, skip_special_tokens=True))
        return text.strip().removeprefix("##")


@dataclass(frozen=True, slots=True)
class _Seen:
    """Embeddings of images [B, E], unit norm, and the tokens [B, L, D] that ITM attends to."""

    embeds: Tensor
    tokens: Tensor


class BlipScorer(LoadedScorer[_Seen, Tensor]):
    """Scores texts with a ``BlipForImageTextRetrieval`` checkpoint: ITC and ITM."""

    gives = ("itc", "itm")

    def __init__(
        self, checkpoint: Checkpoint, *, itm_token: Literal["cls", "enc"] = "cls", **how: Any
    ) -> None:
        """Load the checkpoint.

        Args:
            checkpoint: a checked checkpoint.
            itm_token: the first token ITM reads: ``cls`` as transformers' own forward leaves it,
                or ``enc``, with which BLIP was trained. Ask a few matched and shuffled texts which
                one a checkpoint wants.
            how: as :class:`LoadedScorer` takes it.

        Raises:
            ModelError: it is no scorer, or damaged, or has no [ENC] token where that is asked for.
        """
        self._itm_token = itm_token
        super().__init__(checkpoint, **how)

    def _load(self, checkpoint: Checkpoint, texts_per_batch: int) -> None:
        from transformers import BlipForImageTextRetrieval

        model = self._network(BlipForImageTextRetrieval, checkpoint)
        self._pictures = blip_pictures(checkpoint, image_size=model.config.vision_config.image_size)
        self._model = model
        tokenizer = load_tokenizer(checkpoint)
        self._tokens = TextTokens(
            tokenizer,
            most_tokens=int(model.config.text_config.max_position_embeddings),
            texts_per_batch=texts_per_batch,
        )
        self._first_id = None
        if self._itm_token == "enc":
            self._first_id = _enc_id(checkpoint, model.config.text_config, tokenizer)

    def _see(self, images: Pixels) -> _Seen:
        model = self._model
        pixels = self._pictures.normalised(images, model.vision_proj.weight)
        tokens_BLD = model.vision_model(pixel_values=pixels).last_hidden_state
        return _Seen(unit(model.vision_proj(tokens_BLD[:, 0])), tokens_BLD)

    def _read(self, batch: TextBatch) -> Tensor:
        model = self._model
        states = model.text_encoder(input_ids=batch.ids, attention_mask=batch.mask)
        return unit(model.text_proj(states.last_hidden_state[:, 0]))

    def _judge(
        self, seen: _Seen, read: Tensor, batch: TextBatch, pairs: Pairs
    ) -> dict[str, Tensor]:
        images_P, texts_P = pairs.image_rows, pairs.text_rows
        ids_PL = batch.ids[texts_P]
        if self._first_id is not None:
            ids_PL[:, 0] = self._first_id
        states = self._model.text_encoder(
            input_ids=ids_PL,
            attention_mask=batch.mask[texts_P],
            encoder_hidden_states=seen.tokens[images_P],
        )
        itm_P = matched(self._model.itm_head(states.last_hidden_state[:, 0]))
        return {"itc": cosines(seen.embeds[images_P], read[texts_P]), "itm": itm_P}

    def _image_embeds(self, seen: _Seen) -> Tensor:
        return seen.embeds

    def _text_embeds(self, read: Tensor) -> Tensor:
        return read


def _enc_id(checkpoint: Checkpoint, text: Any, tokenizer: Any) -> int:
    known = tokenizer.get_vocab().get("[ENC]")
    # The hub's tokenizers lack BLIP's two added tokens; the embeddings have [DEC], then [ENC].
    found = known if known is not None else int(text.bos_token_id) + 1
    if found >= text.vocab_size:
        raise ModelError(
            f"{checkpoint.name} has no [ENC] token (its tokenizer names none, and its "
            f"vocabulary of {text.vocab_size} ends before): use itm_token: cls"
        )
    return int(found)
