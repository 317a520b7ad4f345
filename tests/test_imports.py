from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curate.core.errors import SourceError
from curate.imports import look, name_of, recipe_text
from curate.recipe import parse
from tests.images.pictures import jpeg
from tests.recipes import curate
from tests.sources.packed import Download, img2dataset_output, write_tar

SHARDS = [
    [Download(f"http://x.test/{n}.jpg", f"a picture number {n}", jpeg(n)) for n in range(3)],
    [Download("http://x.test/9.jpg", "gone", None)],
]


def pool(folder: Path) -> Path:
    with_uids = [
        [Download(r.url, r.caption, r.picture, {"uid": f"{n:032x}"}) for n, r in enumerate(rows)]
        for rows in SHARDS
    ]
    img2dataset_output(folder / "shards", with_uids)
    metadata(folder)
    return folder


def metadata(folder: Path) -> Path:
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    rows = {"uid": ["0" * 32], "url": ["http://x.test/0.jpg"], "text": ["one"], "sha256": ["0"]}
    pq.write_table(pa.table(rows), folder / "metadata" / "0.parquet")
    return folder


def pictures(folder: Path, ending: str | None) -> Path:
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(0))
    if ending:
        (folder / f"a.{ending}").write_text('"two words"')
    return folder


def listed(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("make", "source", "stage"),
    [
        (pool, {"kind": "datacomp"}, "unpack"),
        (metadata, {"kind": "url_list", "url": "url", "text": "text"}, "fetch"),
        (lambda at: img2dataset_output(at, SHARDS), {"kind": "img2dataset"}, "unpack"),
        (
            lambda at: img2dataset_output(at, SHARDS, output_format="parquet"),
            {"kind": "img2dataset", "format": "parquet"},
            "unpack",
        ),
        (
            lambda at: write_tar(at / "a.tar", {"0.jpg": jpeg(0), "0.txt": "one"}).parent,
            {"kind": "webdataset"},
            "unpack",
        ),
        (
            lambda at: write_tar(
                at / "a.tar", {"0.jpg": jpeg(0), "0.json": json.dumps({"text": "one"})}
            ),
            {"kind": "webdataset", "texts": "json", "text": "text"},
            "unpack",
        ),
        (
            lambda at: write_tar(at / "a.tar", {"0.jpg": jpeg(0)}).parent,
            {"kind": "webdataset", "texts": None},
            "unpack",
        ),
        (lambda at: pictures(at, "txt"), {"kind": "image_folder", "texts": "txt"}, "load"),
        (lambda at: pictures(at, "json"), {"kind": "image_folder", "texts": "json"}, "load"),
        (lambda at: pictures(at, None), {"kind": "image_folder", "texts": None}, "load"),
        (
            lambda at: listed(at.with_suffix(".csv"), "URL,TEXT\nhttp://x.test/0.jpg,one\n"),
            {"kind": "url_list", "url": "URL", "text": "TEXT"},
            "fetch",
        ),
    ],
)
def test_the_recipe_reads_what_is_there(
    make: Any, source: dict[str, Any], stage: str, tmp_path: Path
) -> None:
    path = make(tmp_path / "data")
    found = look(path)
    told = {key: value for key, value in found.source.items() if key != "path"}
    assert told == source
    assert found.pictures["kind"] == stage
    recipe = parse(yaml.safe_load(recipe_text(found, "trial", str(tmp_path / "run"))))
    assert recipe.name == "trial"
    assert recipe.plan().legs


def test_an_imported_recipe_runs_to_its_shards(tmp_path: Path) -> None:
    root = pool(tmp_path / "pool")
    answer = curate("import", root, "--output", tmp_path / "run")
    assert answer.exit_code == 0
    assert "a DataComp pool" in answer.stderr
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(answer.stdout)
    done = curate("run", recipe, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["selection"]["rows"] == 3
    exported = curate(
        "export", tmp_path / "run", "--kind", "parquet", "--set", "uid=source_uid", "--json"
    )
    assert exported.exit_code == 0, exported.output


def test_what_nobody_reads_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        look(tmp_path / "gone")
    (tmp_path / "notes.md").write_text("none")
    with pytest.raises(SourceError, match="holds nothing that a source reads"):
        look(tmp_path)
    pq.write_table(pa.table({"number": [1]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="holds nothing that a source reads"):
        look(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"no")
    with pytest.raises(SourceError, match="cannot read"):
        look(tmp_path)


@pytest.mark.parametrize(
    ("path", "name"), [("a b/sub set.tar", "sub_set"), ("x/..weird..", "weird"), ("/", "imported")]
)
def test_names_are_names(path: str, name: str) -> None:
    assert name_of(Path(path)) == name
