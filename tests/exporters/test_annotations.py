from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError

from curate.core.table import CommittedTable
from curate.exporters.llava_json import Config
from tests.exporters.material import chosen, export, small_table

CAPTIONS = ["a red dog", "ein Hund, ä", "two birds", "a house", "three cats"]


@pytest.fixture
def table(tmp_path: Path) -> CommittedTable:
    return small_table(tmp_path / "run")


def test_blip_finds_every_picture_where_its_list_says(
    table: CommittedTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = export("blip_json", table, chosen(table), tmp_path / "out", shard_rows=4)
    monkeypatch.chdir(tmp_path / "out")
    entries = [e for s in manifest["shards"] for e in json.loads(Path(s["file"]).read_text())]
    assert [entry["caption"] for entry in entries] == CAPTIONS
    assert all(set(entry) == {"image", "caption"} for entry in entries)
    for entry in entries:  # as BLIP's pretrain_dataset opens them
        assert Image.open(entry["image"]).convert("RGB").size == (96, 72)
    assert entries[0]["image"] == entries[1]["image"]  # written once
    assert manifest["shards"][0]["pictures"]["files"] == 3


@pytest.mark.parametrize(
    ("root", "start"), [("", "images/"), ("/data/set/", "/data/set/images/"), ("/", "/images/")]
)
def test_blips_paths_begin_with_the_root(
    root: str, start: str, table: CommittedTable, tmp_path: Path
) -> None:
    export("blip_json", table, chosen(table), tmp_path / "out", root=root)
    entries = json.loads((tmp_path / "out" / "00000.json").read_text())
    assert all(entry["image"].startswith(start + "00000/") for entry in entries)


def test_llava_gets_one_list_of_conversations(table: CommittedTable, tmp_path: Path) -> None:
    export("llava_json", table, chosen(table), tmp_path / "out", shard_rows=2)
    entries = json.loads((tmp_path / "out" / "train.json").read_text())
    assert [entry["conversations"][1]["value"] for entry in entries] == CAPTIONS
    assert len({entry["id"] for entry in entries}) == 5
    for entry in entries:
        human, gpt = entry["conversations"]
        assert (human["from"], gpt["from"]) == ("human", "gpt")
        assert human["value"].count("<image>") == 1
        assert (tmp_path / "out" / entry["image"]).is_file()


def test_llava_without_a_text_is_an_empty_list(table: CommittedTable, tmp_path: Path) -> None:
    export("llava_json", table, chosen(table, least=1.0), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "train.json").read_text()) == []


def test_of_several_prompts_one_is_drawn_and_stays(table: CommittedTable, tmp_path: Path) -> None:
    prompts = tuple(f"<image>\nQuestion {number}" for number in range(4))
    for name in ("a", "b"):
        export("llava_json", table, chosen(table), tmp_path / name, prompts=prompts)
    first = (tmp_path / "a" / "train.json").read_bytes()
    assert first == (tmp_path / "b" / "train.json").read_bytes()
    asked = {entry["conversations"][0]["value"] for entry in json.loads(first)}
    assert 1 < len(asked) <= 4


@pytest.mark.parametrize("prompt", ["Describe.", "<image> and <image>"])
def test_a_prompt_holds_the_image_once(prompt: str) -> None:
    with pytest.raises(ValidationError, match="times, not once"):
        Config(prompts=(prompt,))
