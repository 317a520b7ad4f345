"""Pictures with their texts and scores, as HTML that shows itself in a notebook."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from curate.core.errors import StoreError
from curate.core.table import CommittedTable
from curate.inspection.fragment import Fragment

if TYPE_CHECKING:
    import pandas as pd

    from curate.inspection.run_view import RunView

_STYLE = """
<style>
.curate-gallery { display: flex; flex-wrap: wrap; gap: 12px; font: 13px system-ui, sans-serif; }
.curate-gallery figure { width: 240px; margin: 0; padding: 8px; border: 1px solid #8885; }
.curate-gallery img { display: block; max-width: 100%; margin: 0 auto 6px; }
.curate-gallery p { margin: 4px 0; overflow-wrap: anywhere; }
.curate-gallery .no { opacity: .6; text-decoration: line-through; }
.curate-gallery small { opacity: .75; display: block; }
</style>
"""


@dataclass(frozen=True)
class Gallery(Fragment):
    """Pictures with their texts; a notebook shows it by itself.

    Attributes:
        count: pictures in it.
    """

    title: ClassVar[str] = "pairs"

    count: int

    def __repr__(self) -> str:
        """Say what it is where HTML cannot be shown."""
        return f"<Gallery of {self.count} pictures: show it in a notebook, or .save(path)>"


def make_gallery(
    run: RunView,
    where: Callable[[pd.DataFrame], pd.DataFrame] | pd.DataFrame | str | None,
    *,
    limit: int,
    selection: str | None,
    side: int,
) -> Gallery:
    """Build a gallery; see ``RunView.show``.

    Raises:
        StoreError: no pictures, or a query that cannot be understood.
    """
    if "image" not in run.table.schema.names:
        raise StoreError(f"{run.table.store.root} has no pictures: no stage wrote 'image'")
    texts = run.texts(selection=selection)
    chosen = _choose(texts, where)
    keys = chosen[["partition", "row"]].drop_duplicates().head(limit)
    wanted = list(keys.itertuples(index=False, name=None))
    images = read_pictures(run.table, wanted)
    figures = []
    for key in wanted:
        own = texts[(texts["partition"] == key[0]) & (texts["row"] == key[1])]
        figures.append(_figure(images[key], own.to_dict("records"), run.table.score_names, side))
    return Gallery(f'{_STYLE}<div class="curate-gallery">{"".join(figures)}</div>', len(figures))


def _choose(
    texts: pd.DataFrame, where: Callable[[pd.DataFrame], pd.DataFrame] | pd.DataFrame | str | None
) -> pd.DataFrame:
    import pandas as pd

    if where is None:
        return texts
    if not isinstance(where, str):
        chosen = where if isinstance(where, pd.DataFrame) else where(texts)
        if not _are_rows(chosen):
            raise StoreError(
                f"these are no rows of texts ({type(chosen).__name__}): give a frame with "
                "'partition' and 'row', or a function that returns one"
            )
        return chosen
    error: Exception | None = None
    try:
        chosen = texts.query(where)
        if _are_rows(chosen):
            return chosen
    except (
        *(pd.errors.UndefinedVariableError, SyntaxError, ValueError, TypeError),
        *(KeyError, AttributeError, NotImplementedError),
    ) as raised:
        error = raised
    raise StoreError(
        f"{where!r} is no query over the texts ({error or 'it gives no rows'}); "
        f"columns: {', '.join(texts.columns)}"
    ) from error


def _are_rows(chosen: object) -> bool:
    import pandas as pd

    return isinstance(chosen, pd.DataFrame) and {"partition", "row"} <= set(chosen.columns)


def read_pictures(
    table: CommittedTable, wanted: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], dict[str, Any]]:
    """Return ``image``, ``url`` and ``path``, as far as they exist, of rows by their keys."""
    found = {}
    names = [n for n in ("image", "url", "path") if n in table.schema.names]
    for number in sorted({partition for partition, _ in wanted}):
        rows = table.rows(number, names)
        own = pa.array([row for partition, row in wanted if partition == number], pa.int32())
        for row in rows.filter(pc.is_in(rows["row"], own)).to_pylist():
            found[(row["partition"], row["row"])] = row
    return found


def _figure(
    row: dict[str, Any], texts: list[dict[str, Any]], scores: tuple[str, ...], side: int
) -> str:
    where = row.get("url") or row.get("path") or ""
    parts = [f'<figure><img src="{thumbnail(row["image"], side)}" alt="">']
    for text in texts:
        numbers = ", ".join(
            f"{name} {text[name]:.2f}" for name in scores if text[name] == text[name]
        )
        judged = text.get("rejected") or text["reason"]
        style = ' class="no"' if judged else ""
        said = f" - {judged}" if judged else ""
        parts.append(
            f"<p{style}>{html.escape(text['text'] or '')}</p>"
            f"<small>{html.escape(str(text['source']))} {numbers}{html.escape(said)}</small>"
        )
    parts.append(f"<small>{html.escape(where)}</small></figure>")
    return "".join(parts)


def thumbnail(image: bytes | None, side: int) -> str:
    """Return a JPEG no longer than ``side`` pixels as a data URI; "" where there is no picture."""
    small = shrunk(image, side)
    return "" if small is None else "data:image/jpeg;base64," + base64.b64encode(small).decode()


def shrunk(image: bytes | None, side: int) -> bytes | None:
    """Return a picture as a JPEG no longer than ``side`` pixels; None where there is none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(image or b"")) as picture:
            small = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # its texts are still worth looking at
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
