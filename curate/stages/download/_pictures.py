"""What fetching and loading share: the picture options, and outcomes becoming columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from pydantic import Field, model_validator

from curate.core import columns
from curate.core.columns import append_columns
from curate.core.config import MapConfig, tuning
from curate.core.stage import Mapped
from curate.images import MAX_PIXELS, ImageFault, Prepared, prepare
from curate.images.codec import EncodeFormat
from curate.images.resize import Interpolation, ResizeMode

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

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        """The picture, its sizes and its two identities."""
        return FIELDS

    def prepare(self, body: bytes) -> Outcome:
        """Check, decode, hash, resize and encode a body; a fault becomes a reason."""
        quality = self.encode_quality
        if quality is None:
            quality = 3 if self.encode_format == "png" else 95
        area, ratio = self.max_image_area, self.max_aspect_ratio
        try:
            return Outcome(
                prepare(
                    body,
                    size=self.resize,
                    mode=self.resize_mode,
                    only_if_bigger=self.resize_only_if_bigger,
                    upscale_interpolation=self.upscale_interpolation,
                    downscale_interpolation=self.downscale_interpolation,
                    encode_format=self.encode_format,
                    encode_quality=quality,
                    skip_reencode=self.skip_reencode,
                    min_image_size=self.min_image_size,
                    max_image_area=math.inf if area is None else area,
                    max_aspect_ratio=math.inf if ratio is None else ratio,
                    max_pixels=self.max_pixels,
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
        pa.array([outcome.detail for outcome in outcomes], pa.string()),
        notes=notes or {},
    )
