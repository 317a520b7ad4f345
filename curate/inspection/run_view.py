"""A run opened for looking: rows, texts, ledger and pictures, in a notebook or a script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import pyarrow as pa

from curate.core.ledger import LEDGER_SCHEMA
from curate.core.location import StorePath, store_path
from curate.core.selection import Selection, list_selections
from curate.core.stage import CANARY_KEYS
from curate.core.table import CommittedTable, flatten_texts

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from curate.inspection.gallery import Gallery
    from curate.inspection.index.search import By, Search
    from curate.inspection.score_charts import ScoreCharts

#: Encoded images are read only when they are asked for by name.
_HEAVY = ("image",)


@dataclass(frozen=True)
class RunView:
    """A run, read-only.

    Attributes:
        table: its committed table.
    """

    table: CommittedTable

    @classmethod
    def open(cls, path: str | StorePath) -> RunView:
        """Open a run's folder, local or of an object store (``s3://bucket/run``).

        Raises:
            StoreError: it holds no run.
        """
        return cls(CommittedTable.open(store_path(path)))

    @property
    def name(self) -> str:
        """The recipe's name."""
        return str(self.table.facts["name"])

    @property
    def columns(self) -> list[str]:
        """Columns of a row."""
        return list(self.table.schema.names)

    @property
    def selections(self) -> list[str]:
        """Names of the selections."""
        return list_selections(self.table.store)

    @overload
    def rows(self, columns: Iterable[str] | None = ..., *, arrow: Literal[True]) -> pa.Table: ...
    @overload
    def rows(
        self, columns: Iterable[str] | None = ..., *, arrow: Literal[False] = ...
    ) -> pd.DataFrame: ...
    def rows(
        self, columns: Iterable[str] | None = None, *, arrow: bool = False
    ) -> pa.Table | pd.DataFrame:
        """Return the finished rows, one an image.

        Args:
            columns: which; all but the encoded images by default.
            arrow: as ``pyarrow.Table`` instead of pandas.

        Raises:
            StoreError: no such column; the message offers the nearest.
        """
        names = [n for n in self.columns if n not in _HEAVY] if columns is None else list(columns)
        self.table.check_names(names)
        empty = pa.schema([self.table.schema.field(n) for n in self.columns if n in names])
        return _joined(self.table.each_rows(names), empty.empty_table(), arrow=arrow)

    @overload
    def texts(
        self, columns: Sequence[str] = ..., *, selection: str | None = ..., arrow: Literal[True]
    ) -> pa.Table: ...
    @overload
    def texts(
        self,
        columns: Sequence[str] = ...,
        *,
        selection: str | None = ...,
        arrow: Literal[False] = ...,
    ) -> pd.DataFrame: ...
    def texts(
        self, columns: Sequence[str] = (), *, selection: str | None = None, arrow: bool = False
    ) -> pa.Table | pd.DataFrame:
        """Return the flat view, one row a text, with every score.

        Args:
            columns: row columns to repeat beside each text (``url``, say).
            selection: adds ``selected`` (bool) and ``rejected`` (reason) of that selection.
            arrow: as ``pyarrow.Table`` instead of pandas.

        Raises:
            StoreError: no such column or selection.
        """
        chosen = None if selection is None else Selection.open(self.table.store.root, selection)
        if chosen is not None:
            chosen.check(self.table)
        self.table.check_names(columns)
        none = flatten_texts(self.table.schema.empty_table(), self.table.score_names, columns)
        parts = []
        for number in self.table.partitions:
            part = self.table.texts(number, columns)
            if chosen is not None:
                rejected = chosen.decisions(number)["rejected"]
                part = part.append_column("selected", rejected.is_null())
                part = part.append_column("rejected", rejected)
            parts.append(part)
        return _joined(parts, none, arrow=arrow)

    @overload
    def ledger(self, *, arrow: Literal[True]) -> pa.Table: ...
    @overload
    def ledger(self, *, arrow: Literal[False] = ...) -> pd.DataFrame: ...
    def ledger(self, *, arrow: bool = False) -> pa.Table | pd.DataFrame:
        """Return every row that stopped, with stage, reason and detail."""
        parts = self.table.store.ledger(self.table.nodes)
        return _joined(parts, LEDGER_SCHEMA.empty_table(), arrow=arrow)

    @overload
    def canaries(self, *, arrow: Literal[True]) -> pa.Table: ...
    @overload
    def canaries(self, *, arrow: Literal[False] = ...) -> pd.DataFrame: ...
    def canaries(self, *, arrow: bool = False) -> pa.Table | pd.DataFrame:
        """Return the scores of planted mismatches: what the filter says where it must say no."""
        parts = (part for _, part in self.table.canaries())
        return _joined(parts, CANARY_KEYS.empty_table(), arrow=arrow)

    def funnel(self) -> pd.DataFrame:
        """Return where the rows went, in the order of the stages.

        Returns:
            A row a stage and reason: ``stage``, ``reached`` (rows that came to the stage),
            ``reason``, ``rows`` that stopped for it, and their ``share`` of those that reached the
            stage. A stage that stopped none has one row without a reason.
        """
        import pandas as pd

        from curate.inspection.stage_figures import stage_figures

        stages, _, _ = stage_figures(self.table)
        found = [
            (stage.name, stage.rows_in, reason, rows, rows / max(1, stage.rows_in))
            for stage in stages
            for reason, rows in (stage.dropped or {"": 0}).items()
        ]
        return pd.DataFrame(found, columns=["stage", "reached", "reason", "rows", "share"])

    def thresholds(
        self, score: str | None = None, at: Sequence[float] | None = None
    ) -> pd.DataFrame:
        """Return what thresholds of a score keep: shares of each source and of the canaries.

        Args:
            score: a score column or a scorer's name; None for the only ITM or the only score.
            at: thresholds; quantiles of the scores where none are given.

        Raises:
            StoreError: no such score, or no text has it.

        Example:
            >>> run.thresholds("filter_itm", at=[0.1, 0.5])  # doctest: +SKIP
        """
        from curate.inspection.threshold_table import threshold_table

        found: pd.DataFrame = threshold_table(self.table, score, at).to_pandas()
        return found

    def charts(self, selection: str | None = None) -> ScoreCharts:
        """Draw the histogram of every score, by source, with canaries and the threshold.

        Args:
            selection: whose threshold is drawn; None for ``default``, else the last by name.

        Raises:
            StoreError: no such selection, or there are no scores.

        Returns:
            Charts that display themselves in a notebook; ``.save(path)`` writes one HTML file.
        """
        from curate.inspection.score_charts import make_charts

        return make_charts(self.table, selection)

    @overload
    def search(
        self,
        words: str | None = ...,
        *,
        image: str | Path | bytes | Image | None = ...,
        by: By = ...,
        limit: int = ...,
        columns: Sequence[str] = ...,
        arrow: Literal[True],
    ) -> pa.Table: ...
    @overload
    def search(
        self,
        words: str | None = ...,
        *,
        image: str | Path | bytes | Image | None = ...,
        by: By = ...,
        limit: int = ...,
        columns: Sequence[str] = ...,
        arrow: Literal[False] = ...,
    ) -> pd.DataFrame: ...
    def search(
        self,
        words: str | None = None,
        *,
        image: str | Path | bytes | Image | None = None,
        by: By = "words",
        limit: int = 50,
        columns: Sequence[str] = (),
        arrow: bool = False,
    ) -> pa.Table | pd.DataFrame:
        """Search for texts by words, for images by what they show, or by another picture.

        The first search builds the index that ``curate view`` uses, in the run's folder.

        Args:
            words: what to look for. All words must occur, ``"in double quotes"`` side by side,
                ``-word`` must not; matched by their stem, without regard to case and accents.
            image: instead of words: a picture's file, its encoded bytes, a PIL image, or the uid
                of a row. Needs embeddings (``embed: true`` at the scorer).
            by: ``meaning`` looks for images that ``words`` describe, whatever their texts say;
                needs embeddings and a scorer that embeds texts, too.
            limit: most texts to return.
            columns: row columns to repeat beside each text (``url``, say).
            arrow: as ``pyarrow.Table`` instead of pandas.

        Returns:
            One row a text as ``texts`` has them, the best first, with ``relevance`` (BM25, words)
            or ``similarity`` (cosine in [-1, 1], all texts of an image alike).

        Raises:
            StoreError: no embeddings, no such uid or column, or the index cannot be written.
            SourceError: the picture cannot be read.
            ModelError: the checkpoint that made the embeddings cannot be had.

        Example:
            >>> run.search("dog -cat", limit=5)  # doctest: +SKIP
            >>> run.show(run.search(image="dog.jpg"))  # doctest: +SKIP
        """
        found = self._search.table(words, image, by, limit, columns)
        return found if arrow else found.to_pandas()

    @cached_property
    def _search(self) -> Search:
        from curate.inspection.index.search import Search

        return Search(self.table)

    def show(
        self,
        where: Callable[[pd.DataFrame], pd.DataFrame] | pd.DataFrame | str | None = None,
        *,
        limit: int = 12,
        selection: str | None = None,
        side: int = 160,
    ) -> Gallery:
        """Show pictures with their texts and scores; displays itself in a notebook.

        Args:
            where: which texts' pictures: a pandas query over ``texts()`` (``"filter_itm < 0.2"``),
                a function from that frame to the rows wanted, in the order wanted, or such rows
                themselves, as ``search`` gives them.
            limit: how many pictures.
            selection: also says of each text whether it is selected.
            side: longest side of a thumbnail, pixels.

        Returns:
            A gallery; ``.save(path)`` writes it as one HTML file.

        Example:
            >>> run.show("filter_itm < 0.2", limit=6)  # doctest: +SKIP
        """
        from curate.inspection.gallery import make_gallery

        return make_gallery(self, where, limit=limit, selection=selection, side=side)


def _joined(parts: Iterable[pa.Table], empty: pa.Table, *, arrow: bool) -> pa.Table | pd.DataFrame:
    tables = list(parts)
    table = pa.concat_tables(tables, promote_options="default") if tables else empty
    return table if arrow else table.to_pandas()
