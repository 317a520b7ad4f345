"""Say what the proof's arms kept of the planted noise. For reading, not for choosing settings.

    python scripts/describe_proof.py EXPERIMENT TRUTH [--selection arm-CF] [--captions 20]

EXPERIMENT is the output of ``curate prove``, TRUTH the table of scripts/build_proof_tables.py with
what was planted. Prints, as Markdown, each selection's web texts by kind, with the precision and
recall of the good ones; the filter's ROC AUC on the web texts; which texts it rejects where they
stand, and which as canaries; and some captions beside the web text of the picture. The scores are
those of the run's last step, so of the last arm that was captioned.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from curate.evaluate.matching import roc_auc

from curate.core.selection import Selection, list_selections
from curate.core.table import CommittedTable
from curate.loop import percent, table_line

KINDS = ("good", "mismatched", "near_miss", "alt_text", "cut")


def kinds_of(table: CommittedTable, truth: Path) -> dict[tuple[int, int], str]:
    """Return what the web text of a row is, by (partition, row)."""
    said = pq.read_table(truth, columns=["key", "kind"]).to_pydict()
    planted = dict(zip(said["key"], said["kind"], strict=True))
    return {
        (number, row): planted[key]
        for number in table.partitions
        for row, key in zip(
            *table.rows(number, ["source_key"]).select(["row", "source_key"]).to_pydict().values(),
            strict=True,
        )
    }


def kept_kinds(
    table: CommittedTable, selection: Selection, kinds: dict[tuple[int, int], str]
) -> Counter[str]:
    """Return how many selected web texts there are of each kind; ``synthetic`` counts captions."""
    found: Counter[str] = Counter()
    for number in table.partitions:
        texts = selection.decisions(number)
        texts = texts.filter(pc.is_null(texts["rejected"])).select(["row", "text_index"])
        for row, place in zip(*texts.to_pydict().values(), strict=True):
            found[kinds[number, row] if place == 0 else "synthetic"] += 1
    return found


def selections_table(table: CommittedTable, kinds: dict[tuple[int, int], str]) -> list[str]:
    """Return the selections as Markdown."""
    there = Counter(kinds.values())
    head = ["selection", *KINDS, "precision", "recall", "synthetic"]
    lines = [table_line(head), table_line(["---"] * len(head))]
    for name in list_selections(table.store):
        kept = kept_kinds(table, Selection.open(table.store.root, name), kinds)
        web = sum(kept[kind] for kind in KINDS)
        counts = [f"{kept[kind]:,}" for kind in KINDS]
        figures = [percent(kept["good"] / max(1, web)), percent(kept["good"] / there["good"])]
        lines.append(table_line([name, *counts, *figures, f"{kept['synthetic']:,}"]))
    return lines


def auc_lines(table: CommittedTable, kinds: dict[tuple[int, int], str]) -> list[str]:
    """Return how well each score tells good web texts from each kind of bad ones."""
    scores: dict[str, dict[str, list[float]]] = {}
    for number in table.partitions:
        texts = table.texts(number)
        texts = texts.filter(pc.equal(texts["source"], "web"))
        for name in table.score_names:
            for row, score in zip(texts["row"].to_pylist(), texts[name].to_pylist(), strict=True):
                by_kind = scores.setdefault(name, {kind: [] for kind in KINDS})
                if score is not None:
                    by_kind[kinds[number, row]].append(score)
    lines = [table_line(["AUC", *KINDS[1:]]), table_line(["---"] * len(KINDS))]
    for name, by_kind in scores.items():
        arrays = {kind: np.asarray(values) for kind, values in by_kind.items()}
        found = [roc_auc(arrays["good"], arrays[kind]) for kind in KINDS[1:]]
        lines.append(table_line([name, *(f"{value:.3f}" for value in found)]))
    return lines


def rejected_lines(
    table: CommittedTable, kinds: dict[tuple[int, int], str], selection: Selection
) -> list[str]:
    """Return the rejected shares of texts that were planted, and of the like ones as canaries.

    A canary is a web text put beside another picture than its own, whatever it was there. Texts
    that were planted as more than one kind are left out of the canaries.
    """
    column, threshold = (str(selection.facts["settings"][name]) for name in ("itm", "threshold"))
    said: dict[str, set[str]] = {}
    planted: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for number in table.partitions:
        texts = table.texts(number)
        texts = texts.filter(pc.equal(texts["source"], "web")).select(["row", "text", column])
        for row, text, score in zip(*texts.to_pydict().values(), strict=True):
            said.setdefault(text, set()).add(kinds[number, row])
            planted[kinds[number, row]] += [] if score is None else [score < float(threshold)]
    canaries: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for _, part in table.canaries():
        for text, score in zip(part["text"].to_pylist(), part[column].to_pylist(), strict=True):
            if len(found := said.get(text, set())) == 1:
                canaries[next(iter(found))].append(score < float(threshold))
    lines = [table_line(["rejected", *KINDS]), table_line(["---"] * (1 + len(KINDS)))]
    for name, by_kind in (("beside their picture", planted), ("as canaries", canaries)):
        shares = [f"{percent(float(np.mean(one)))} of {len(one):,}" for one in by_kind.values()]
        lines.append(table_line([name, *shares]))
    return lines


def captions(table: CommittedTable, num: int) -> list[str]:
    """Return some captions beside the web text of their picture."""
    texts = table.texts(table.partitions[0])
    rows = pa.array(sorted(set(texts["row"].to_pylist()))[:num], pa.int32())
    texts = texts.filter(pc.is_in(texts["row"], value_set=rows))
    return [
        f"{row:4} {source:9} {text}"
        for row, source, text in zip(
            *(texts[name].to_pylist() for name in ("row", "source", "text")), strict=True
        )
    ]


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("experiment", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--captions", type=int, default=0)
    parser.add_argument("--selection", default="arm-CF", help="Whose threshold is looked at.")
    chosen = parser.parse_args()
    table = CommittedTable.open(chosen.experiment / "run")
    kinds = kinds_of(table, chosen.truth)
    parts = [selections_table(table, kinds)]
    if table.score_names:
        parts.append(auc_lines(table, kinds))
        selection = Selection.open(table.store.root, chosen.selection)
        parts.append(rejected_lines(table, kinds, selection))
    if chosen.captions:
        parts.append(captions(table, chosen.captions))
    print("\n\n".join("\n".join(lines) for lines in parts))


if __name__ == "__main__":
    main()
