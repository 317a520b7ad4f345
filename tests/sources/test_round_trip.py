"""What curate exports as WebDataset, it reads again."""

from __future__ import annotations

from pathlib import Path

from curate.sources.webdataset import Config
from curate.stages.download.unpack import Config as UnpackConfig
from tests.exporters.material import chosen, export, small_table
from tests.images.pictures import jpeg
from tests.sources.lists import partitions, register


def test_an_export_is_a_source(tmp_path: Path) -> None:
    table = small_table(tmp_path / "run")
    export("webdataset", table, chosen(table), tmp_path / "out", per="image", shard_rows=3)
    source = Config(path=str(tmp_path / "out")).build()
    files = register(source, tmp_path / "spool")
    assert [file.rows for file in files] == [3, 1]
    unpack = UnpackConfig(root=str(tmp_path / "out"), skip_reencode=True).build()
    found = []
    with unpack.ready():
        for mapped in partitions(source, files, 10):
            assert mapped.reasons is not None and mapped.reasons.null_count == len(mapped.rows)
            found += unpack(mapped.rows).rows.to_pylist()
    assert [row["texts"] for row in found] == [
        *(["a red dog"], ["two birds"], ["a house"], ["three cats"]),
    ]
    assert found[0]["image"] == jpeg(0)
    assert found[0]["caption"] == "a red dog"
    assert found[0]["source_url"] == "http://x.test/0.jpg"
    assert found[0]["source_uid"] == "0-0"
