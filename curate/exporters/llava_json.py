"""Conversations as LLaVA's pretraining reads them, in one list over folders of pictures.

An entry has ``id``, ``image`` and ``conversations``: the prompt with ``<image>``, then the caption
(https://github.com/haotian-liu/LLaVA, docs/Finetune_Custom_Data.md). Train with ``--data_path
train.json --image_folder FOLDER``.
"""

from __future__ import annotations

import hashlib
from typing import IO, Any, ClassVar

from pydantic import Field, field_validator

from curate.core.atomic import read_bytes, write_whole
from curate.core.location import StorePath
from curate.core.samples import Sample
from curate.exporters._picture_files import AnnotatedExporter
from curate.exporters._samples import SampleConfig

TRAIN = "train.json"
_IMAGE = "<image>"


class Config(SampleConfig):
    """Settings of the exporter for LLaVA: a conversation for each text.

    Attributes:
        prompts: what the person says, each with ``<image>`` once; of several, one is drawn by
            the sample's key.
    """

    knows_weights: ClassVar[bool] = False

    prompts: tuple[str, ...] = Field(("<image>\nDescribe this image briefly.",), min_length=1)

    @field_validator("prompts")
    @classmethod
    def _one_image(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for prompt in value:
            if prompt.count(_IMAGE) != 1:
                raise ValueError(
                    f"{prompt!r} holds {_IMAGE} {prompt.count(_IMAGE)} times, not once"
                )
        return value

    def build(self) -> LlavaJsonExporter:
        """Build the exporter."""
        return LlavaJsonExporter(self)


class LlavaJsonExporter(AnnotatedExporter):
    """Writes pictures and LLaVA's conversations."""

    kind = "llava_json"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config

    def finish(self, output: StorePath, shards: list[dict[str, Any]]) -> None:
        """Join the shards' lists into the one file LLaVA wants, line by line."""

        def write(file: IO[bytes]) -> None:
            file.write(b"[")
            for number, shard in enumerate(shards):
                lines = read_bytes(output / shard["file"])
                file.write((b"," if number else b"") + lines[1 : lines.rindex(b"\n]")])
            file.write(b"\n]\n")

        write_whole(output / TRAIN, write)

    def entry(self, sample: Sample, path: str) -> dict[str, Any]:
        """Return the entry of a text, as the trainer reads it."""
        digest = hashlib.blake2b(sample.key.encode(), digest_size=8).digest()
        prompt = self._config.prompts[int.from_bytes(digest) % len(self._config.prompts)]
        said = [("human", prompt), ("gpt", sample.captions[0].text)]
        return {
            "id": sample.key,
            "image": path,
            "conversations": [{"from": who, "value": what} for who, what in said],
        }
