"""The practice web of a run: its list, its truth, its held-out pictures, and the server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pyarrow as pa

from curate.core.atomic import exists, read_parquet, write_parquet
from curate.core.ledger import LEDGER_SCHEMA
from curate.core.location import StorePath
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.quickstart.config import LoopbackConfig
from curate.quickstart.pictures import Picture, shipped_pictures
from curate.quickstart.plant import Planted, plant
from curate.quickstart.web import Web

HELDOUT_SCHEMA = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("image", pa.binary()),
        pa.field("captions", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class PracticeFiles:
    """Where a run's practice list and its truth are.

    Attributes:
        folder: below the run's folder.
    """

    folder: StorePath

    @classmethod
    def of(cls, output: StorePath) -> PracticeFiles:
        """Return the files of a run."""
        return cls(output / "loopback")

    @property
    def listing(self) -> StorePath:
        """The noisy list: URL, TEXT."""
        return self.folder / "list.parquet"

    @property
    def truth(self) -> StorePath:
        """What was planted, row by row; nothing but the verdict reads it."""
        return self.folder / "truth.parquet"

    @property
    def clean(self) -> StorePath:
        """Pictures with descriptions that are neither listed nor held out for evaluation."""
        return self.folder / "clean.parquet"

    @property
    def heldout(self) -> StorePath:
        """Pictures with descriptions that are in no row of the list."""
        return self.folder / "heldout.parquet"


def write_practice_files(config: LoopbackConfig, output: StorePath) -> Planted:
    """Write the list, its truth and the held-out pictures where they are missing.

    The same settings give the same bytes.
    """
    pictures = shipped_pictures()
    Random(config.seed).shuffle(pictures)
    held_out = pictures[: config.held_out]
    clean = pictures[config.held_out : config.held_out + config.clean]
    listed = pictures[config.held_out + config.clean :]
    planted = plant(config.seed, listed)
    files = PracticeFiles.of(output)
    if not exists(files.listing) or not exists(files.truth):
        planted.write(files.listing, files.truth)
    for path, apart in ((files.heldout, held_out), (files.clean, clean)):
        if not exists(path):
            write_parquet(path, _described(apart))
    return planted


@contextlib.contextmanager
def practice_web(config: LoopbackConfig, output: StorePath) -> Iterator[dict[str, str]]:
    """Serve the practice web while the block runs; yields where its hosts are on loopback."""
    planted = write_practice_files(config, output)
    with Web(planted.pages, refused=planted.refused) as web:
        yield web.resolve_map()


def practice_verdict(table: CommittedTable, selection: Selection) -> dict[str, Any]:
    """Compare a finished practice run with what was planted.

    Returns:
        JSON values: ``faults`` (planted and caught by kind), ``good`` and ``good_kept``, noise
        before and after, and ``mismatched`` texts: precision, recall, ROC AUC by score; and what
        the canaries said: the share the selection's rule would reject.
    """
    from curate.quickstart.verdict import judge

    files = PracticeFiles.of(table.store.root)
    texts = pa.concat_tables(
        part.append_column("rejected", selection.decisions(number)["rejected"])
        for number, part in ((n, table.texts(n, ["url"])) for n in table.partitions)
    ).to_pandas()
    entries = pa.concat_tables([LEDGER_SCHEMA.empty_table(), *table.store.ledger(table.nodes)])
    found = judge(
        texts,
        entries.to_pandas(),
        read_parquet(files.truth, remove=files.folder).to_pandas(),
        scores=table.score_names,
    )
    matching = found.matching
    return {
        "faults": found.faults.to_dict("records"),
        "good": found.good,
        "good_kept": found.good_kept,
        "noise_before": found.noise_before,
        "noise_after": found.noise_after,
        "mismatched": {
            "good": matching.good,
            "mismatched": matching.mismatched,
            "precision": matching.precision,
            "recall": matching.recall,
            "auc": dict(matching.auc),
        },
        "canaries": _canaries_said(table, selection),
    }


def _canaries_said(table: CommittedTable, selection: Selection) -> dict[str, Any] | None:
    """What share of the canaries the selection's rule would reject."""
    settings = selection.facts["settings"]
    column, threshold = settings.get("itm"), settings.get("threshold")
    parts = [part for _, part in table.canaries() if column in part.column_names]
    if not parts or threshold is None:
        return None
    scores = pa.concat_tables(parts, promote_options="default")[column].drop_null().to_numpy()
    return {
        "column": column,
        "canaries": len(scores),
        "threshold": threshold,
        "rejected": float((scores < threshold).mean()) if len(scores) else None,
    }


def _described(pictures: list[Picture]) -> pa.Table:
    rows = [
        {"name": p.path.name, "image": p.path.read_bytes(), "captions": [p.text]} for p in pictures
    ]
    return pa.Table.from_pylist(rows, schema=HELDOUT_SCHEMA)
