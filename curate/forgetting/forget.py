"""Takes rows out of a run for good: table, ledger, selections, views, exports.

An *intent* is written first, ``forgotten/intent.json``: which rows, and what commits and selections
come to without them, reckoned while everything is still there. Every further step may be repeated,
so that a kill is mended by doing the whole of it again; readers refuse the run meanwhile. The
tombstones come next, the intent goes last, and with it the last that was known of the rows.

This is the one exception to the law that committed files never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from curate.core.added import added_of
from curate.core.atomic import (
    child_names,
    exists,
    read_json_if_there,
    remove,
    sweep_temporaries,
    write_json,
)
from curate.core.errors import StoreError
from curate.core.failpoints import reach
from curate.core.lease import owned
from curate.core.location import StorePath
from curate.core.plan import Node
from curate.core.stage import Progress
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.core.tombstones import (
    FOLDER,
    INTENT_FILE,
    check_none_pending,
    hash_of,
    salt_of,
)
from curate.forgetting.found import Asked, Found, find
from curate.forgetting.handed_on import make_again, plan_exports, take_away
from curate.forgetting.legs import redact_quarantine, rewrite_steps, write_commits
from curate.forgetting.proof import LONG, Proof
from curate.forgetting.receipts import Reckoning
from curate.forgetting.selected import new_facts, write_selections
from curate.forgetting.source_copies import blank_sources
from curate.forgetting.steps import Step, steps_of


@dataclass
class Intent:
    """What is to be done, as ``intent.json`` holds it until it is done.

    Attributes:
        number: of the tombstones' file.
        when: UTC, ISO 8601.
        why: as the person said; kept with the tombstones.
        asked: how many uids, addresses and hosts were asked for.
        rows: rows by partition, as text.
        hashes: tombstones.
        words: values of the rows by kind, to be searched for at the end.
        source: the source's name in the ledger.
        receipts, totals: see ``Reckoning``.
        selections: what selections are to say of themselves.
        exports: to be made again; see ``plan_exports``.
        folders: to be removed.
        view: whether there is a LanceDB view.
    """

    number: int
    when: str
    why: str
    asked: dict[str, int]
    rows: dict[str, list[int]]
    hashes: list[str]
    words: dict[str, list[str]]
    source: str
    receipts: dict[str, Any] = field(default_factory=dict)
    totals: dict[str, Any] = field(default_factory=dict)
    selections: dict[str, Any] = field(default_factory=dict)
    exports: list[dict[str, Any]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    view: bool = False

    @property
    def gone(self) -> dict[int, set[int]]:
        """Rows by partition."""
        return {int(number): set(rows) for number, rows in self.rows.items()}

    def facts(self) -> dict[str, Any]:
        """Return what may be told of it: counts and folders, no content."""
        return {
            "rows": sum(len(rows) for rows in self.rows.values()),
            "partitions": len(self.rows),
            "selections": sorted(self.selections),
            "exports": [one["folder"] for one in self.exports],
            "removed": self.folders,
            "view": self.view,
        }


def preview(root: StorePath, asked: Asked) -> dict[str, Any]:
    """Say what would go, and change nothing.

    Raises:
        StoreError: no run, or an earlier forgetting has to be finished first.
    """
    check_none_pending(root)
    store, steps, table = _opened(root)
    found = find(root, steps, asked)
    return _intent(store, steps, table, asked, found, why="", salt=b"").facts()


def forget(root: StorePath, asked: Asked, *, why: str, progress: Progress) -> list[dict[str, Any]]:
    """Forget rows, or finish what was stopped and then forget them.

    Args:
        root: the run's folder.
        asked: which; none to finish alone.
        why: kept with the tombstones.
        progress: told of views and exports that are made again.

    Returns:
        A report for each forgetting that was done: ``Intent.facts``, ``proof``, and where it is
        written. Its ``proof.left`` names what still holds something.

    Raises:
        StoreError: no run here, or nothing was asked and nothing was stopped.
    """
    with owned(root):
        sweep_temporaries(root)
        reports = []
        pending = read_json_if_there(root / FOLDER / INTENT_FILE)
        if pending is not None:
            reports.append(_finish(root, Intent(**pending), progress))
        elif not asked:
            raise StoreError(f"nothing to finish in {root}: name uids, urls or hosts to forget")
        if asked:
            store, steps, table = _opened(root)
            found = find(root, steps, asked)
            intent = _intent(store, steps, table, asked, found, why=why, salt=salt_of(root))
            write_json(root / FOLDER / INTENT_FILE, asdict(intent))
            reach("forget.intended")
            reports.append(_finish(root, intent, progress))
        return reports


def _opened(root: StorePath) -> tuple[RunStore, list[Step], CommittedTable]:
    store = RunStore(root)
    nodes, schema, facts = store.read_plan(while_forgetting=True)
    table = CommittedTable.of(store, nodes, schema, facts)
    return store, _steps(store, nodes, facts), table


def _steps(store: RunStore, nodes: tuple[Node, ...], facts: Mapping[str, Any]) -> list[Step]:
    return steps_of(store, nodes, [one.node for one in added_of(facts)])


def _intent(
    store: RunStore,
    steps: list[Step],
    table: CommittedTable,
    asked: Asked,
    found: Found,
    *,
    why: str,
    salt: bytes,
) -> Intent:
    reckoned = Reckoning(store, steps, found.rows)
    selections = new_facts(table, found.rows)
    exports, lost = plan_exports(table, selections, found.rows)
    words: dict[str, set[str]] = {
        "uid": found.uid,
        "url": found.url,
        "path": found.path,
        "texts": found.texts,
        "image": found.image,
    }
    named = {"uid": found.uid, "url": found.url, "path": found.path | found.url}
    hashes = {hash_of(salt, kind, value) for kind in named for value in named[kind] if value}
    hashes |= {hash_of(salt, "host", host) for host in asked.hosts}
    return Intent(
        number=sum(name[:8].isdigit() for name in child_names(store.root / FOLDER)) + 1,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        why=why,
        asked={"uids": len(asked.uids), "urls": len(asked.urls), "hosts": len(asked.hosts)},
        rows={str(number): sorted(rows) for number, rows in sorted(found.rows.items())},
        hashes=sorted(hashes),
        words={kind: sorted(values) for kind, values in words.items()},
        source=reckoned.source,
        receipts=reckoned.receipts,
        totals=reckoned.totals,
        selections=selections,
        exports=exports,
        folders=[*lost, *reckoned.unknown],
        view=exists(store.root / "table.lance.json"),
    )


def _quoted(intent: Intent) -> list[str]:
    """Return what an error may quote of the rows: their names, and texts that are not too short."""
    texts = [text for text in intent.words["texts"] if len(text) >= LONG]
    return sorted({*intent.words["uid"], *intent.words["url"], *intent.words["path"], *texts})


def _finish(root: StorePath, intent: Intent, progress: Progress) -> dict[str, Any]:
    """Do what an intent says; safe to repeat from any place."""
    store, steps, _ = _opened(root)
    gone = intent.gone
    record = {
        "when": intent.when,
        "why": intent.why,
        "asked": intent.asked,
        "hashes": intent.hashes,
        "rows": intent.rows,
    }
    write_json(root / FOLDER / f"{intent.number:08d}.json", record)
    reach("forget.buried")
    uids = frozenset(intent.words["uid"])
    marks = take_away(store, intent.folders, uids)
    whole = {*uids, *intent.words["url"], *intent.words["path"]}
    written = {
        "marks": marks,
        "steps": rewrite_steps(store, steps, gone, intent.source),
        "sources": blank_sources(store, whole, hosts=intent.asked["hosts"] > 0),
        "quarantine": redact_quarantine(store, steps, _quoted(intent)),
        "commits": len(intent.receipts),
    }
    write_commits(store, intent.receipts, intent.totals)
    written["selections"] = write_selections(store, intent.selections, gone)
    reach("forget.selected")
    table = _opened(root)[2]
    make_again(root, table, intent.exports, gone, view=intent.view, progress=progress)
    proof = Proof(root, gone, intent.words).search().to_json()
    place = f"{FOLDER}/proof-{intent.number:08d}.json"
    report = {**intent.facts(), "when": intent.when, "files_written": written, "proof": proof}
    write_json(root / place, report)
    reach("forget.proved")
    remove(root / FOLDER / INTENT_FILE)
    reach("forget.done")
    return {**report, "report": place}
