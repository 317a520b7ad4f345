"""The list of uids of a selection, as DataComp's tools take a subset of a pool.

``uids.npy`` holds each uid, 32 hex digits, as two unsigned 64-bit numbers (dtype ``u8,u8``),
sorted, each once (https://github.com/mlfoundations/datacomp, ``resharder.py --subset-file``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from curate.core.atomic import (
    exists,
    read_json_if_there,
    remove,
    write_json,
    write_whole,
)
from curate.core.checksums import file_facts
from curate.core.config import ExporterConfig
from curate.core.errors import StoreError
from curate.core.location import StorePath
from curate.core.scratch import staged
from curate.core.selection import Selection
from curate.core.stage import Exporter, Progress
from curate.core.store import same_json
from curate.core.table import CommittedTable
from curate.exporters._shards import MANIFEST

FILE = "uids.npy"
UID_TYPE = np.dtype("u8,u8")
_UID = re.compile(r"[0-9a-fA-F]{32}")


class Config(ExporterConfig):
    """Settings of the exporter of uids. Takes 16 bytes of memory an image.

    Attributes:
        uid: column of the uids: ``source_uid`` where the source brought DataComp's own, ``uid``
            for curate's.
    """

    uid: str = Field("source_uid", min_length=1)

    @property
    def reads(self) -> tuple[str, ...]:
        """The column of uids."""
        return (self.uid,)

    def build(self) -> DataCompUidsExporter:
        """Build the exporter."""
        return DataCompUidsExporter(self)


class DataCompUidsExporter(Exporter):
    """Writes the uids of the images with a selected text."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def export(
        self, table: CommittedTable, selection: Selection, output: StorePath, progress: Progress
    ) -> Mapping[str, Any]:
        """Write the list and its manifest; nothing is done when they are there already.

        Raises:
            StoreError: there is no such column, or it holds something else than 32 hex digits.
        """
        made_from = {
            "kind": "datacomp_uids",
            "table": table.fingerprint,
            "selection": dict(selection.facts),
            "options": self._config.identity(),
        }
        manifest_path, path = output / MANIFEST, output / FILE
        there: dict[str, Any] | None = read_json_if_there(manifest_path)
        if there and same_json(there["made_from"], made_from) and exists(path):
            return {**there, "output": str(output)}
        remove(manifest_path)
        uids = self._uids(table, selection, progress)
        with staged(output) as folder:
            write_whole(folder / FILE, lambda file: np.save(file, uids))
            shards = [{"file": FILE, "samples": len(uids), **file_facts(folder / FILE)}]
        manifest = {"made_from": made_from, "samples": len(uids), "shards": shards}
        write_json(manifest_path, manifest)
        return {**manifest, "output": str(output)}

    def _uids(self, table: CommittedTable, selection: Selection, progress: Progress) -> Any:
        total = selection.facts["rows_kept"]
        uids = np.zeros(total, UID_TYPE)
        done = 0
        table.check_names([self._config.uid])
        for rows, _ in selection.pairs(table, [self._config.uid]):
            for uid in rows[self._config.uid].to_pylist():
                if uid is None or not _UID.fullmatch(uid):
                    raise StoreError(
                        f"column {self._config.uid!r} holds {uid!r}, which is no uid of 32 hex "
                        "digits: name the column that holds DataComp's uids in 'uid'"
                    )
                uids[done] = (int(uid[:16], 16), int(uid[16:], 16))
                done += 1
            progress(done, total)
        return np.unique(uids)
