"""What families that write through transformers' ``generate`` share: rows, keys, prompts, texts.

A family brings its pictures and its prompt into the form that its network takes; the rest is the
same: a row for every image and draw, noise keyed by (uid, round, draw) in place of ``generate``'s
own sampling (see :mod:`curate.models.sampling`), the prompt cut off, text from what is new.

All rows of a call have the same prompt and pictures of the same size, so the same length: nothing
is padded, on either side, and a caption cannot hang on the padding that its neighbours need.

Shapes: B images, P captions, L tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from curate.core.errors import ModelError
from curate.models.base import Writing
from curate.models.encode_once import EncodeOnce, repeat_groups
from curate.models.sampling import FiniteLogits, KeyedLogits, KeyedSampler, stream_key


@dataclass(frozen=True, slots=True)
class Prompt:
    """What stands before every caption.

    Attributes:
        inputs: arguments of ``generate`` that are the same for every caption, [1, ...] each.
        before: ids that the generated ones follow in what ``generate`` returns; they count as
            said already for the repetition penalty. All of ``input_ids`` where a network has a
            decoder alone; the decoder's first ids where it has an encoder too.
    """

    inputs: Mapping[str, Tensor]
    before: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """The ids with which a text begins, ends and is filled up.

    Attributes:
        end: any of these ends a text.
        pad: stands behind the end of texts shorter than others.
        begin: first id of a text; None where the family has none.
        decoder_start: first id of an encoder-decoder's output; None for a decoder alone.
        forced_begin: what the first new id must be; None where it is free.
    """

    end: tuple[int, ...]
    pad: int
    begin: int | None = None
    decoder_start: int | None = None
    forced_begin: int | None = None


def special_ids(model: Any, tokenizer: Any) -> SpecialIds:
    """Read special ids: from the checkpoint's generation settings, its config, its tokenizer.

    Of the generation settings nothing else is kept: lengths, beams and sampling of a checkpoint's
    author would mix with the recipe's.

    Raises:
        ModelError: nothing says which id ends a text.
    """
    places = (model.generation_config, model.config, model.config.get_text_config(decoder=True))
    end = _first_of(places, "eos_token_id")
    end = tokenizer.eos_token_id if end is None else end
    if end is None:
        raise ModelError(
            f"nothing in {model.name_or_path} says which token ends a text: put eos_token_id into "
            "its generation_config.json"
        )
    ends = tuple(int(one) for one in (end if isinstance(end, (list, tuple)) else [end]))
    pad = _first_of(places, "pad_token_id")
    return SpecialIds(
        end=ends,
        pad=ends[0] if pad is None else int(pad),
        begin=_first_of(places, "bos_token_id"),
        decoder_start=_first_of(places, "decoder_start_token_id"),
        forced_begin=_first_of(places, "forced_bos_token_id"),
    )


def _first_of(places: Sequence[Any], name: str) -> Any:
    return next((v for place in places if (v := getattr(place, name, None)) is not None), None)


@dataclass(slots=True)
class KeyedGeneration:
    """Writes captions with a network of transformers.

    Attributes:
        model: what has ``generate`` as the family calls it.
        tokenizer: turns new ids into text.
        prompt: what stands before every caption.
        special: ids of beginnings and ends.
        writing: how captions are written.
        once: the modules that shall see each image once.
        beams_repeat: whether the tower sees a row for every beam of a search; else ``generate``
            encodes before it makes the beams.
    """

    model: Any
    tokenizer: Any
    prompt: Prompt
    special: SpecialIds
    writing: Writing
    once: EncodeOnce = field(default_factory=EncodeOnce)
    beams_repeat: bool = False

    def govern(self, network: Any) -> None:
        """Put the settings in place of the checkpoint's own, on the network that decodes."""
        from transformers import GenerationConfig

        special = self.special
        network.generation_config = GenerationConfig(
            do_sample=False,
            eos_token_id=list(special.end),
            pad_token_id=special.pad,
            bos_token_id=special.begin,
            decoder_start_token_id=special.decoder_start,
            forced_bos_token_id=special.forced_begin,
        )

    def __call__(
        self, uids: Sequence[str], draws: Sequence[int], images: Mapping[str, Tensor]
    ) -> list[list[str]]:
        """Write a caption for every image and draw.

        Args:
            uids: B uids.
            draws: numbers of the streams to draw from.
            images: arguments of ``generate`` that hold the pictures, B groups of rows each.

        Returns:
            For each image its captions in the order of ``draws``.
        """
        beams = self.writing.decoding == "beam"
        count, copies = len(uids), 1 if beams else len(draws)
        settings = self._beams(len(draws)) if beams else self._keyed(uids, draws)
        rows = {
            name: repeat_groups(value, groups=count, copies=copies)
            for name, value in images.items()
        }
        device = next(iter(images.values())).device
        for name, value in self.prompt.inputs.items():
            rows[name] = value.to(device).expand(count * copies, *value.shape[1:])
        inside = self.writing.num_beams if beams and self.beams_repeat else copies
        with self.once.copies(images=count, copies=inside):
            ids_PL = self.model.generate(**rows, max_new_tokens=self.writing.max_tokens, **settings)
        texts = [self._text(ids) for ids in ids_PL.tolist()]
        return [texts[start : start + len(draws)] for start in range(0, len(texts), len(draws))]

    def _keyed(self, uids: Sequence[str], draws: Sequence[int]) -> dict[str, Any]:
        turn, before = self.writing.round_number, self.prompt.before
        keys = [stream_key(uid, round_number=turn, caption=d) for uid in uids for d in draws]
        sampler = KeyedSampler(
            keys, self.writing.sampling, prompt_ids=before, end_id=self.special.end
        )
        return {"logits_processor": [KeyedLogits(sampler, prompt_length=len(before))]}

    def _beams(self, num_captions: int) -> dict[str, Any]:
        return {
            "num_beams": self.writing.num_beams,
            "num_return_sequences": num_captions,
            "min_new_tokens": self.writing.sampling.min_tokens,
            "repetition_penalty": self.writing.sampling.repetition_penalty,
            "logits_processor": [FiniteLogits()],
        }

    def _text(self, ids: list[int]) -> str:
        """Return the new words; a first piece that continues the prompt's word is one too."""
        words = ids[len(self.prompt.before) :]
        text = str(self.tokenizer.decode(words, skip_special_tokens=True))
        return text.strip().removeprefix("##")


def require_room(name: str, *, needed: int, positions: int | None) -> None:
    """Refuse prompts and captions that a network has no positions for.

    Args:
        name: the checkpoint's.
        needed: tokens of prompt, picture and longest caption together.
        positions: how many the network has; None where there is no such limit.

    Raises:
        ModelError: they do not fit.
    """
    if positions is not None and needed > positions:
        raise ModelError(
            f"prompt and caption may take {needed} tokens, {name} has positions for {positions}: "
            "lower max_tokens"
        )


def text_positions(config: Any) -> int | None:
    """Return how many positions a text network's config says it has, None for relative ones."""
    text = config.get_text_config(decoder=True)
    said = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
    return None if said is None or getattr(text, "model_type", "") == "t5" else int(said)


def ids_of(tokenizer: Any, text: str, *, special: bool) -> list[int]:
    """Return a text's ids, with or without those the tokenizer puts around it."""
    return [int(one) for one in tokenizer(text, add_special_tokens=special)["input_ids"]]


def as_row(ids: Sequence[int]) -> Tensor:
    """Return ids as [1, L]."""
    return torch.tensor([list(ids)], dtype=torch.int64)
