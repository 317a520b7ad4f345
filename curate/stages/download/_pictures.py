"""What fetching and loading share: the picture options, and outcomes becoming columns."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from curate.core import columns
from curate.core.columns import append_columns
from curate.core.config import MapConfig, tuning
from curate.core.stage import Mapped
from curate.images import (
    MAX_PIXELS,
    HashList,
    ImageFault,
    Prepared,
    prepare,
    read_hash_list,
    sha256_hex,
)
from curate.images.codec import EncodeFormat
from curate.images.resize import Interpolation, ResizeMode

BodyHash = Literal["md5", "sha256", "sha512"]

#: What every row with a picture gets.
FIELDS = (
    columns.IMAGE,
    columns.WIDTH,
    columns.HEIGHT,
    columns.ORIGINAL_WIDTH,
    columns.ORIGINAL_HEIGHT,
    columns.SHA256,
    columns.PHASH,
)


class PictureConfig(MapConfig):
    """Options of every stage that brings pictures in, under img2dataset's names.

    Attributes:
        resize: target side, pixels (img2dataset's ``image_size``); None leaves the size.
        resize_mode: ``keep_ratio`` and ``center_crop`` bring the shorter side to ``resize``,
            ``keep_ratio_largest`` and ``border`` the longer one; ``center_crop`` and ``border``
            end in a square, cut out or padded with white. ``no`` leaves the size.
        resize_only_if_bigger: never enlarge.
        upscale_interpolation: filter for enlarging.
        downscale_interpolation: filter for shrinking.
        encode_format: ``jpg``, ``png`` or ``webp``.
        encode_quality: 0 to 100 for jpg and webp (101: lossless webp), default 95; for png the
            compression level, 0 to 9, default 3.
        skip_reencode: keep a body as it came when it has the wanted format and nothing changed.
        min_image_size: least length of the shorter side as it came, pixels.
        max_image_area: greatest width times height as it came, pixels; None for no bound.
        max_aspect_ratio: greatest longer / shorter side as it came; None for no bound.
        max_pixels: pictures that claim more pixels are refused before they are decoded.
        max_bytes: greatest size of a body, bytes.
        verify_hash: ``[column, type]``: a column of the list with the hash every body should
            have, and its type: ``md5``, ``sha256`` or ``sha512``; a null is not checked. None
            checks nothing.
        hash_list: file of hashes of pictures that must not be used; such a row stops as
            ``listed_hash`` and nothing of it is kept. A line is ``TYPE:HEX`` with the type
            ``md5``, ``sha1``, ``sha256`` or ``sha512`` of the bytes, or ``phash``, the 64-bit
            hash of the look that curate writes; ``#`` begins a comment.
        hash_list_distance: bits in which a ``phash`` may differ from a listed one.
        decode_threads: pictures decoded at the same time.
    """

    resize: int | None = Field(None, ge=1, le=16_383)
    resize_mode: ResizeMode = "keep_ratio"
    resize_only_if_bigger: bool = False
    upscale_interpolation: Interpolation = "lanczos"
    downscale_interpolation: Interpolation = "area"
    encode_format: EncodeFormat = "jpg"
    encode_quality: int | None = Field(None, ge=0, le=101)
    skip_reencode: bool = False
    min_image_size: int = Field(0, ge=0)
    max_image_area: int | None = Field(None, ge=1)
    max_aspect_ratio: float | None = Field(None, ge=1.0, allow_inf_nan=False)
    max_pixels: int = Field(89_478_485, ge=1, le=MAX_PIXELS)
    max_bytes: int = Field(25_000_000, ge=1)
    verify_hash: tuple[str, BodyHash] | None = None
    hash_list: str | None = Field(None, min_length=1)
    hash_list_distance: int = Field(4, ge=0, le=16)
    decode_threads: int = tuning(2, ge=1, le=256)

    @model_validator(mode="after")
    def _resizing(self) -> PictureConfig:
        given = self.model_fields_set
        if self.resize is None:
            idle = given & {
                *("resize_only_if_bigger", "upscale_interpolation", "downscale_interpolation"),
                *(() if self.resize_mode == "no" else ("resize_mode",)),
            }
            if idle:
                raise ValueError(f"{', '.join(sorted(idle))} without resize changes nothing")
        elif self.resize_mode == "no":
            raise ValueError(f"resize {self.resize} with resize_mode no: drop one of them")
        greatest = {"jpg": 100, "webp": 101, "png": 9}[self.encode_format]
        if self.encode_quality is not None and self.encode_quality > greatest:
            raise ValueError(
                f"encode_quality {self.encode_quality} is above {greatest} for {self.encode_format}"
            )
        return self

    @model_validator(mode="after")
    def _listing(self) -> PictureConfig:
        if self.hash_list is None and "hash_list_distance" in self.model_fields_set:
            raise ValueError("hash_list_distance without hash_list changes nothing")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """The column of expected hashes, if any."""
        return (self.verify_hash[0],) if self.verify_hash else ()

    def check(self) -> list[str]:
        """Return what is wrong with the hash list."""
        if self.hash_list is None:
            return []
        try:
            read_hash_list(self.hash_list, max_distance=self.hash_list_distance)
        except OSError as error:
            return [f"hash_list {self.hash_list!r} cannot be read: {error.strerror or error}"]
        except ValueError as error:
            return [f"hash_list {self.hash_list!r}: {error}"]
        return []

    def identity(self) -> dict[str, Any]:
        """Return the settings, with the hash list's content in the place of its path."""
        identity = super().identity()
        if self.hash_list is not None:
            try:
                identity["hash_list"] = sha256_hex(Path(self.hash_list).read_bytes())
            except OSError:
                identity["hash_list"] = None
        return identity

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        """The picture, its sizes and its two identities."""
        return FIELDS


class Preparer:
    """Turns bodies into pictures or reasons, on the worker; safe to call from many threads."""

    def __init__(self, config: PictureConfig) -> None:
        """Read the hash list.

        Args:
            config: whose options hold.
        """
        self._config = config
        self._listed: HashList | None = None
        if config.hash_list is not None:
            self._listed = read_hash_list(config.hash_list, max_distance=config.hash_list_distance)

    def expected(self, rows: pa.Table) -> list[str | None]:
        """Return the hash each row's body should have; null where none is checked."""
        if self._config.verify_hash is None:
            return [None] * rows.num_rows
        return [
            None if value is None else str(value)
            for value in rows[self._config.verify_hash[0]].to_pylist()
        ]

    def __call__(self, body: bytes, expected: str | None) -> Outcome:
        """Check, decode, hash, resize and encode a body; a fault becomes a reason."""
        config = self._config
        if config.verify_hash is not None and expected is not None:
            kind = config.verify_hash[1]
            if hashlib.new(kind, body).hexdigest() != expected.strip().lower():
                return Outcome(
                    reason="hash_mismatch", detail=f"{kind} of {len(body)} bytes differs"
                )
        quality = config.encode_quality
        if quality is None:
            quality = 3 if config.encode_format == "png" else 95
        area, ratio = config.max_image_area, config.max_aspect_ratio
        try:
            return Outcome(
                prepare(
                    body,
                    size=config.resize,
                    mode=config.resize_mode,
                    only_if_bigger=config.resize_only_if_bigger,
                    upscale_interpolation=config.upscale_interpolation,
                    downscale_interpolation=config.downscale_interpolation,
                    encode_format=config.encode_format,
                    encode_quality=quality,
                    skip_reencode=config.skip_reencode,
                    min_image_size=config.min_image_size,
                    max_image_area=math.inf if area is None else area,
                    max_aspect_ratio=math.inf if ratio is None else ratio,
                    max_pixels=config.max_pixels,
                    listed=self._listed,
                )
            )
        except ImageFault as fault:
            return Outcome(reason=fault.reason, detail=fault.detail)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row: a picture, or a reason.

    Attributes:
        picture: the prepared picture, or None.
        reason: reason code when there is no picture.
        detail: for people.
    """

    picture: Prepared | None = None
    reason: str | None = None
    detail: str | None = None


def with_pictures(
    rows: pa.Table,
    outcomes: Sequence[Outcome],
    *,
    extra: dict[str, pa.Array] | None = None,
    extra_fields: tuple[pa.Field, ...] = (),
    notes: dict[str, float] | None = None,
) -> Mapped:
    """Return the rows with the picture columns, one outcome a row, and reasons for the others."""
    arrays = {
        field.name: pa.array(
            [o.picture and getattr(o.picture, field.name) for o in outcomes], field.type
        )
        for field in FIELDS
    }
    table = append_columns(rows, arrays | (extra or {}), (*FIELDS, *extra_fields))
    return Mapped(
        table,
        pa.array([outcome.reason for outcome in outcomes], pa.string()),
        pa.array([_writable(outcome.detail) for outcome in outcomes], pa.string()),
        notes=notes or {},
    )


def _writable(detail: str | None) -> str | None:
    """Return a detail as UTF-8 can write it: servers put any bytes into their answers."""
    return None if detail is None else detail.encode("utf-8", "replace").decode()
