"""How many requests a partition costs, counted at the server."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.objectstore.server import S3Server, fresh_place
from tests.recipes import curate, folder_recipe, picture_folder, write_recipe

PICTURES = [f"a picture of number {number}" for number in range(12)]


def asked(s3: S3Server, since: int, part: int) -> Counter[str]:
    """Return the requests about one partition by method and kind of file."""
    name = f"part-{part:08d}."
    return Counter(
        f"{method} {path.split('/')[7]}" for method, path, _ in s3.requests[since:] if name in path
    )


def test_what_a_commit_costs(tmp_path: Path, place: str, s3: S3Server) -> None:
    """Two puts a leg; files of an attempt that died are removed unseen; no listing."""
    picture_folder(tmp_path / "pictures", PICTURES)
    recipe = folder_recipe(tmp_path, output=place, select=None)
    path = write_recipe(tmp_path / "r.yaml", recipe)
    since = len(s3.requests)
    assert curate("run", path).exit_code == 0
    legs = len({p.split("/")[6] for _, p, _ in s3.requests[since:] if "/parts/" in p})
    assert legs == 2
    assert asked(s3, since, 1) == {
        "PUT parts": legs,
        "PUT commits": legs,
        "DELETE ledger": legs,
        "PUT canaries": 1,
        "DELETE canaries": legs - 1,
        "GET commits": 2 * legs,  # looked for before the work and before the commit
    }
    listed = s3.count(since)["LIST"]
    since = len(s3.requests)
    assert curate("run", path).exit_code == 0
    again = asked(s3, since, 1)
    assert set(again) <= {"GET commits"}
    assert again["GET commits"] <= legs + 1
    assert s3.count(since)["LIST"] <= listed


def test_listings_do_not_grow_with_the_partitions(tmp_path: Path, s3: S3Server) -> None:
    counts = []
    for rows in (12, 2):
        folder = tmp_path / str(rows)
        picture_folder(folder / "pictures", PICTURES)
        recipe = folder_recipe(folder, output=fresh_place(), select=None)
        recipe["source"]["partition_rows"] = rows
        since = len(s3.requests)
        assert curate("run", write_recipe(folder / "r.yaml", recipe)).exit_code == 0
        lease = sum("lease" in path for _, path, _ in s3.requests[since:] if "list-type" in path)
        counts.append(s3.count(since)["LIST"] - lease)
    assert counts[0] == counts[1]


def test_what_a_selection_costs(tmp_path: Path, place: str, s3: S3Server) -> None:
    picture_folder(tmp_path / "pictures", PICTURES)
    path = write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path, output=place))
    assert curate("run", path).exit_code == 0
    since = len(s3.requests)
    chosen = curate(
        *("select", place, "--kind", "threshold", "--name", "half"),
        *("--set", "column=letters_itm", "--set", "min=0.5"),
    )
    assert chosen.exit_code == 0
    name = "part-00000001."
    found = Counter(method for method, at, _ in s3.requests[since:] if name in at)
    # of each leg its part, and whether a supplement came after it; and a receipt, for the rows
    assert found == {"PUT": 1, "GET": 5}
