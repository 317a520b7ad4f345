"""Search over a run's pairs: by words, by what words mean, and by a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core.errors import SourceError, StoreError, nearest
from curate.core.stage import Progress
from curate.core.table import FLAT_NAMES, CommittedTable
from curate.inspection.index.encoder import Encoder, Vector
from curate.inspection.index.pair_index import Floats, PairIndex, Places

if TYPE_CHECKING:
    from PIL.Image import Image

By = Literal["words", "meaning"]


class Search:
    """Search over one run; the index is brought up to date when it is made."""

    def __init__(
        self, table: CommittedTable, folder: Path | None = None, progress: Progress | None = None
    ) -> None:
        """Open the index.

        Args:
            table: the run's.
            folder: where indices are kept; beside the run when not given.
            progress: called while the index is built.

        Raises:
            StorageFull, StoreError: it cannot be built.
        """
        self._table = table
        self.index = PairIndex.open(table, folder, progress)

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._table, str(self.index.vectors.name))

    def by_words(self, words: str) -> tuple[Places, Floats]:
        """Return pairs whose text has the words, and their relevance; see ``with_words``."""
        return self.index.with_words(words)

    def by_meaning(self, words: str, count: int) -> tuple[Places, Floats]:
        """Return the pairs of the images that a text describes best, and their cosines.

        Args:
            words: a text as captions are: ``a red car in the snow``.
            count: how many images.

        Raises:
            StoreError: the run has no embeddings.
            ModelError: the scorer that made them cannot be had, or reads no texts alone.
        """
        self.index.vectors.check()
        return self.like_vector(self._encoder.words(words), count)

    def by_picture(self, picture: bytes, count: int) -> tuple[Places, Floats]:
        """Return the pairs of the images most like an encoded picture, and their cosines.

        Raises:
            SourceError: the bytes are no picture.
            StoreError: the run has no embeddings.
            ModelError: the scorer that made them cannot be had.
        """
        return self.like_vector(self.vector_of(picture), count)

    def vector_of(self, picture: bytes) -> Vector:
        """Return the vector of an encoded picture; raises like ``by_picture``."""
        self.index.vectors.check()
        return self._encoder.picture(picture)

    def like_image(self, partition: int, row: int, count: int) -> tuple[Places, Floats]:
        """Return the pairs of the images most like one of the run's, itself first.

        Raises:
            StoreError: the run has no embeddings, or this image has none.
        """
        vector = self.index.vectors.of_image(partition << 32 | row)
        if vector is None:
            raise StoreError(f"the image {partition}:{row} has no embedding")
        return self.like_vector(vector, count)

    def like_uid(self, uid: str, count: int) -> tuple[Places, Floats]:
        """Return the pairs of the images most like the one of a uid, itself first.

        Raises:
            StoreError: the run has no embeddings, no such uid, or this image has none.
        """
        self.index.vectors.check()
        found = np.flatnonzero(self.index.where_words("uid", lambda uids: pc.equal(uids, uid)))
        if not len(found):
            raise StoreError(f"no text of the run has the uid {uid!r}, and there is no such file")
        image = int(self.index.images[found[0]])
        return self.like_image(image >> 32, image & 0xFFFFFFFF, count)

    def like_vector(self, vector: Vector, count: int) -> tuple[Places, Floats]:
        """Return the pairs of the images nearest to a vector, and their cosines."""
        images, cosines = self.index.vectors.nearest(vector, count)
        places, owner = self.index.of_images(images)
        return places, cosines[owner]

    def table(
        self,
        words: str | None,
        image: str | Path | bytes | Image | None,
        by: By,
        limit: int,
        columns: Sequence[str],
    ) -> pa.Table:
        """Return what ``RunView.search`` does, as Arrow."""
        if (words is None) == (image is None):
            raise StoreError("search for words or by an image: one of the two")
        if by not in get_args(By):
            raise StoreError(f"by {by!r}: {nearest(by, get_args(By))}")
        if image is not None and by == "meaning":
            raise StoreError("by='meaning' is for words: an image is looked for by itself")
        if limit < 1:
            raise StoreError(f"limit {limit}: at least 1")
        if image is not None:
            places, score = self._by_image(image, limit)
        elif by == "meaning":
            places, score = self.by_meaning(str(words), limit)
        else:
            places, score = self.by_words(str(words))
        places, score = places[:limit], score[:limit]
        names = [*FLAT_NAMES, *self.index.score_names, *columns]
        named = "relevance" if image is None and by == "words" else "similarity"
        found = self.index.take(places, list(dict.fromkeys(names)))
        return found.append_column(named, pa.array(score, pa.float64()))

    def _by_image(self, image: str | Path | bytes | Image, limit: int) -> tuple[Places, Floats]:
        if isinstance(image, str) and not Path(image).is_file():
            return self.like_uid(image, limit)
        return self.by_picture(_encoded(image), limit)


def _encoded(image: str | Path | bytes | Image) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        path = Path(image)
        try:
            return path.read_bytes()
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error}") from error
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()
