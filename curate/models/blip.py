"""BLIP checkpoints of transformers as captioner and scorer.

Source: Li et al. 2022, "BLIP" (https://arxiv.org/abs/2201.12086); the networks are those of
``transformers.models.blip``. The vision tower runs once per image: for several captions, and for
ITC and ITM of all texts alike.

Shapes: B images, P texts or captions, C channels, H height, W width, L tokens, D width,
E projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from curate.core.errors import ModelError
from curate.models.base import Pixels, Writing
from curate.models.checkpoints import Checkpoint
from curate.models.loading import load_model, load_tokenizer
from curate.models.sampling import FiniteLogits, KeyedLogits, KeyedSampler, stream_key

MODEL_TYPES = ("blip",)
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_BICUBIC = 3


class BlipImages:
    """The checkpoint's picture processing: squash to its size on the host, normalise on the device.

    Equal to the checkpoint's own processor with Pillow; neither it nor torchvision is needed.
    """

    def __init__(self, checkpoint: Checkpoint, *, image_size: int) -> None:
        """Read preprocessor_config.json, or processor_config.json of newer checkpoints.

        Args:
            checkpoint: a checked checkpoint; without either file BLIP's defaults are used.
            image_size: side of the pictures its vision tower takes, pixels.

        Raises:
            ModelError: settings that no BLIP checkpoint has: another size than the tower's, a
                crop, pictures that are not rescaled.
        """
        said = checkpoint.read_json("preprocessor_config.json")
        if said is None:
            said = (checkpoint.read_json("processor_config.json") or {}).get("image_processor", {})
        size = said.get("size", image_size)
        sides = (size.get("height"), size.get("width")) if isinstance(size, dict) else (size, size)
        plain = all(said.get(key, True) for key in ("do_resize", "do_rescale", "do_normalize"))
        if sides != (image_size, image_size) or not plain or said.get("do_center_crop"):
            raise ModelError(
                f"{checkpoint.folder}: its processor asks for pictures of size {size} where its "
                f"vision tower takes {image_size} x {image_size}, or for other steps than resize, "
                "rescale and normalise: mend its preprocessor_config.json"
            )
        self.side = image_size
        self._resample = Image.Resampling(int(said.get("resample", _BICUBIC)))
        self._scale = float(said.get("rescale_factor", 1 / 255))
        self._mean_C11 = torch.tensor(said.get("image_mean", _CLIP_MEAN))[:, None, None]
        self._std_C11 = torch.tensor(said.get("image_std", _CLIP_STD))[:, None, None]

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Squash a picture to [3, side, side], aspect ratio not kept, as BLIP does."""
        squashed = Image.fromarray(image_HW3).resize((self.side, self.side), self._resample)
        return np.ascontiguousarray(np.asarray(squashed).transpose(2, 0, 1))

    def normalised(self, images_B3HW: Pixels, like: Tensor) -> Tensor:
        """Move bytes to the device of ``like`` and normalise there, [B, 3, H, W] of its type."""
        pixels = torch.from_numpy(images_B3HW).to(like.device, non_blocking=True)
        mean, std = self._mean_C11.to(like.device), self._std_C11.to(like.device)
        return ((pixels.float() * self._scale - mean) / std).to(like.dtype)


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
        self._images = BlipImages(checkpoint, image_size=model.config.vision_config.image_size)
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


class BlipScorer:
    """Scores texts with a ``BlipForImageTextRetrieval`` checkpoint: ITC and ITM."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        dtype: torch.dtype,
        itm_token: Literal["cls", "enc"] = "cls",
        texts_per_batch: int = 64,
    ) -> None:
        """Load the checkpoint.

        Args:
            checkpoint: a checked checkpoint.
            device: where it shall run.
            dtype: type of its weights.
            itm_token: the first token ITM reads: ``cls`` as transformers' own forward leaves it,
                or ``enc``, with which BLIP was trained. Ask a few matched and shuffled texts which
                one a checkpoint wants.
            texts_per_batch: most texts in one call of the text encoder.

        Raises:
            ModelError: it is no scorer, or damaged, or has no [ENC] token where that is asked for.
        """
        from transformers import BlipForImageTextRetrieval

        model = load_model(BlipForImageTextRetrieval, checkpoint, device=device, dtype=dtype)
        self.signature = checkpoint.signature
        self._images = BlipImages(checkpoint, image_size=model.config.vision_config.image_size)
        self._tokenizer = load_tokenizer(checkpoint)
        self._model = model
        self._most_tokens = int(model.config.text_config.max_position_embeddings)
        self._texts_per_batch = texts_per_batch
        self._first_id = self._enc_id(checkpoint) if itm_token == "enc" else None

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Bring an RGB picture to the model's size, uint8 [3, H, W]."""
        return self._images.prepare(image_HW3)

    @torch.inference_mode()
    def score(
        self, images_B3HW: Pixels, texts: Sequence[str], images_of: Sequence[int]
    ) -> dict[str, NDArray[np.float32]]:
        """Return ``itc`` (cosines) and ``itm`` (probabilities), float32 [texts]."""
        itc = np.zeros(len(texts), dtype=np.float32)
        itm = np.zeros(len(texts), dtype=np.float32)
        if not len(texts):
            return {"itc": itc, "itm": itm}
        model = self._model
        pixels = self._images.normalised(images_B3HW, model.vision_proj.weight)
        image_tokens_BLD = model.vision_model(pixel_values=pixels).last_hidden_state
        image_embeds_BE = F.normalize(model.vision_proj(image_tokens_BLD[:, 0]).float(), dim=-1)
        for places, ids_PL, mask_PL in self._text_batches(texts, pixels.device):
            rows_P = torch.tensor([images_of[place] for place in places], device=pixels.device)
            cosines_P = (image_embeds_BE[rows_P] * self._embed_texts(ids_PL, mask_PL)).sum(-1)
            itc[places] = cosines_P.clamp(-1, 1).cpu().numpy()
            matched_P = self._match(ids_PL, mask_PL, image_tokens_BLD[rows_P])
            itm[places] = matched_P.cpu().numpy()
        return {"itc": itc, "itm": itm}

    def _embed_texts(self, ids_PL: Tensor, mask_PL: Tensor) -> Tensor:
        states = self._model.text_encoder(input_ids=ids_PL, attention_mask=mask_PL)
        projected_PE = self._model.text_proj(states.last_hidden_state[:, 0])
        return F.normalize(projected_PE.float(), dim=-1)

    def _match(self, ids_PL: Tensor, mask_PL: Tensor, image_tokens_PLD: Tensor) -> Tensor:
        if self._first_id is not None:
            ids_PL = torch.cat([torch.full_like(ids_PL[:, :1], self._first_id), ids_PL[:, 1:]], 1)
        states = self._model.text_encoder(
            input_ids=ids_PL, attention_mask=mask_PL, encoder_hidden_states=image_tokens_PLD
        )
        logits_P2: Tensor = self._model.itm_head(states.last_hidden_state[:, 0]).float()
        return logits_P2.softmax(-1)[:, 1]

    def _text_batches(
        self, texts: Sequence[str], device: torch.device
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Yield places, ids [P, L] and mask [P, L], shortest texts first so that little is padded.

        Texts longer than the model's positions are cut.
        """
        tokenizer = self._tokenizer
        encoded = tokenizer(list(texts), truncation=True, max_length=self._most_tokens)["input_ids"]
        order = sorted(range(len(texts)), key=lambda place: len(encoded[place]))
        for start in range(0, len(order), self._texts_per_batch):
            places = order[start : start + self._texts_per_batch]
            longest = len(encoded[places[-1]])
            ids_PL = torch.full((len(places), longest), int(tokenizer.pad_token_id))
            mask_PL = torch.zeros((len(places), longest), dtype=torch.int64)
            for row, place in enumerate(places):
                ids_PL[row, : len(encoded[place])] = torch.tensor(encoded[place])
                mask_PL[row, : len(encoded[place])] = 1
            yield places, ids_PL.to(device), mask_PL.to(device)

    def _enc_id(self, checkpoint: Checkpoint) -> int:
        text = self._model.config.text_config
        known = self._tokenizer.get_vocab().get("[ENC]")
        # The hub's tokenizers lack BLIP's two added tokens; the embeddings have [DEC], then [ENC].
        found = known if known is not None else int(text.bos_token_id) + 1
        if found >= text.vocab_size:
            raise ModelError(
                f"{checkpoint.name} has no [ENC] token (its tokenizer names none, and its "
                f"vocabulary of {text.vocab_size} ends before): use itm_token: cls"
            )
        return int(found)
