"""Tombstones: which rows they name, and what they let nobody read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from curate.core.atomic import write_json
from curate.core.errors import StoreError
from curate.core.ledger import LEDGER_SCHEMA, count_reasons
from curate.core.tombstones import (
    FOLDER,
    INTENT_FILE,
    Tombstones,
    check_none_pending,
    entries_of,
    hash_of,
    host_of,
    salt_of,
    without_content,
)

URL = "https://user@News.Example:8080/a.jpg?x=1"


def bury(root: Path, number: int, *named: tuple[str, str], rows: dict[str, list[int]]) -> None:
    hashes = [hash_of(salt_of(root), kind, value) for kind, value in named]
    write_json(root / FOLDER / f"{number:08d}.json", {"hashes": hashes, "rows": rows})


def table(**columns: list[str | None]) -> pa.Table:
    count = len(next(iter(columns.values())))
    keys = {
        "partition": pa.array([2] * count, pa.int32()),
        "row": pa.array(range(count), pa.int32()),
    }
    return pa.table({**keys, **{name: pa.array(v, pa.string()) for name, v in columns.items()}})


def test_most_runs_have_none_and_get_no_folder(tmp_path: Path) -> None:
    assert not Tombstones.load(tmp_path)
    assert not (tmp_path / FOLDER).exists()


def test_rows_are_named_by_value_by_host_and_by_place(tmp_path: Path) -> None:
    bury(tmp_path, 1, ("uid", "u1"), ("url", URL), rows={"2": [5], "3": [0]})
    bury(tmp_path, 2, ("host", "gone.test"), ("path", "a/b.jpg"), rows={})
    found = Tombstones.load(tmp_path)
    rows = table(
        uid=["u0", "u1", "u2", "u3", "u4", "u5"],
        url=[URL + "2", None, URL, "http://x.test/gone.test", "http://GONE.test/x", "http://y"],
    )
    assert found.mask(rows).tolist() == [False, True, True, False, True, True]
    assert found.mask(table(path=["a/b.jpg", "b.jpg", URL])).tolist() == [True, False, False]
    assert found.mask(rows.slice(0, 0)).tolist() == []


def test_a_value_of_one_kind_is_none_of_another_and_runs_have_keys_of_their_own(
    tmp_path: Path,
) -> None:
    salts = [salt_of(tmp_path / name) for name in ("a", "b")]
    assert salts[0] != salts[1]
    assert salt_of(tmp_path / "a") == salts[0]
    assert len({hash_of(salt, kind, "v") for salt in salts for kind in ("uid", "url")}) == 4


@pytest.mark.parametrize(
    ("url", "host"),
    [(URL, "news.example"), ("no address", None), (None, None), ("http://[", None), ("", None)],
)
def test_hosts(url: str | None, host: str | None) -> None:
    assert host_of(url) == host


def test_entries_keep_their_reason_alone() -> None:
    rows = {"partition": 0, "uid": "u", "url": "http://x", "texts": ["a"], "stage": "list"}
    ledger = pa.Table.from_pylist(
        [
            {**rows, "row": 0, "reason": "no_url", "detail": "d"},
            {**rows, "row": 1, "reason": "forgotten", "detail": "d"},
        ],
        schema=LEDGER_SCHEMA,
    )
    kept, gone = without_content(ledger).to_pylist()
    assert kept == ledger.to_pylist()[0]
    assert gone == entries_of(0, [1], "list").to_pylist()[0]
    assert count_reasons(entries_of(0, {4, 1}, "list")) == {"list": {"forgotten": 2}}


def test_a_run_that_is_being_changed_is_not_read(tmp_path: Path) -> None:
    check_none_pending(tmp_path)
    write_json(tmp_path / FOLDER / INTENT_FILE, {})
    with pytest.raises(StoreError, match=r"'curate forget .*' finishes it"):
        check_none_pending(tmp_path)
