from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curate.core.columns import IMAGE, URL
from curate.core.selection import select
from curate.inspection.score_samples import read_labels
from curate.stages.selectors.threshold import Config
from tests.core.tables import Row, Text, commit_table
from tests.inspection.index.material import EVIL, embedded, made
from tests.view.serving import Server, pairs_of, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(pairs_of(made(tmp_path))) as running:
        yield running


def page(server: Server, count: int = 48, start: int = 0, **query: Any) -> dict[str, Any]:
    answer = server.post("/api/page", {"query": query, "start": start, "count": count})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def test_what_the_page_is_told_first(server: Server) -> None:
    state = server.get("/api/state").json
    assert (state["name"], state["pairs"], state["images"]) == ("table", 6, 4)
    assert (state["scores"], state["embeddings"], state["pictures"]) == (["x_itm"], True, True)
    assert state["selections"] == [{"name": "default", "column": "x_itm", "threshold": 0.45}]
    assert state["marks"] == {"good": 0, "bad": 0}
    assert state["key"] == server.guard.key
    columns = {column["name"]: column for column in state["columns"]}
    assert columns["source"]["values"] == ["synthetic", "web"]
    assert columns["selection:default"]["values"] == ["below_min", "too_short", "selected"]
    assert ">=" in columns["x_itm"]["operators"]


def test_a_selection_made_since_is_found_when_the_page_is_loaded(server: Server) -> None:
    looser = Config(column="x_itm", min=0.1)
    select(server.pairs.table, looser.build(), looser.model_dump(), name="loose")
    names = [one["name"] for one in server.get("/api/state").json["selections"]]
    assert names == ["default", "loose"]


def test_a_page_of_pairs(server: Server) -> None:
    found = page(server, count=2, start=1, sort="x_itm", descending=True)
    assert (found["total"], found["start"]) == (6, 1)
    (first, second) = found["pairs"]
    assert (first["text"], second["text"]) == ("Ein Café", "the red house of a dog")
    assert first["scores"]["x_itm"] == pytest.approx(0.6)
    assert first["selections"] == {"default": "selected"}
    assert (first["mark"], first["closeness"]) == (None, None)
    stopped = page(server, conditions=[{"column": "reason", "operator": "present"}])["pairs"]
    assert stopped[0]["scores"] == {"x_itm": None}
    assert page(server, start=100)["pairs"] == []


def test_markup_is_passed_on_as_the_text_it_is(server: Server) -> None:
    answer = server.post("/api/page", {"query": {"words": "script"}})
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json["pairs"][0]["text"] == f"{EVIL} dog"


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("page", {}, "query: Field required"),
        ("page", {"query": {"what": 1}}, "query.what: Extra inputs"),
        ("page", {"query": {}, "count": 10_000}, "count: Input should be less than"),
        ("page", {"query": {"sort": "nothing"}}, "no column 'nothing'"),
        ("page", {"query": {"words": "-dog"}}, "add a word to look for"),
        ("page", {"query": {"near": {"image": [1]}}}, "query.near.image"),
        ("page", {"query": {"conditions": [{"column": "x_itm", "operator": "?"}]}}, "no filter"),
        (
            "page",
            {"query": {"conditions": [{"column": "x_itm", "operator": ">", "value": [1]}]}},
            "query.conditions.0.value",
        ),
        ("effect", {"query": {}, "threshold": {"column": "y", "value": 1}}, "no column 'y'"),
        ("effect", {"query": {}, "threshold": {"column": "x_itm", "value": "1"}}, "value"),
        ("histogram", {"query": {}, "column": "text"}, "holds words"),
        ("calibrate", {"query": {}, "column": "x_itm", "measure": "f1", "value": 1}, "measure"),
        ("mark", {"place": 99, "good": True}, "there is no pair 99"),
        ("mark", {"place": 0, "good": 1}, "good"),
        ("page", [], "no JSON object"),
        (
            "page",
            {"query": {"conditions": [{"column": "width", "operator": "<", "value": 10**400}]}},
            "query.conditions.0.value",
        ),
    ],
)
def test_questions_that_are_none(server: Server, path: str, body: Any, said: str) -> None:
    answer = server.post(f"/api/{path}", body)
    assert answer.status == 400
    assert said in answer.json["error"]


def test_what_is_no_question_at_all(server: Server) -> None:
    assert server.post("/api/page", b"{").status == 400
    assert server.post("/api/page", b'"' + b"x" * 1_100_000 + b'"').status == 400
    assert server.post("/api/page", b"[" * 100_000).status == 400
    parts = [b'"', *[b"x" * 100_000] * 11, b'"']
    assert (
        "1,000,000 bytes" in server.post("/api/page", iter(parts)).json["error"]
    )  # no length ahead
    assert server.get("/api/page").status == 405
    assert server.get("/api/pair/99").status == 404
    assert server.get("/api/pair/x").status == 404


def test_thresholds(server: Server) -> None:
    asked = {"query": {}, "threshold": {"column": "x_itm", "value": 0.55, "against": "default"}}
    found = server.post("/api/effect", asked).json
    assert (found["kept"], found["scored"], found["gained"], found["lost"]) == (2, 5, 0, 1)
    assert found["sources"] == {"synthetic": [1, 0], "web": [4, 2]}
    shifted = page(server, shifted=asked["threshold"], sort="order:distance")
    assert [pair["text"] for pair in shifted["pairs"]] == ["the red house of a dog"]
    found = server.post("/api/histogram", {"query": {}, "column": "x_itm"}).json
    assert len(found["edges"]) == 81
    assert sum(found["counts"]["web"]) == 4


def test_one_pair_with_everything(server: Server) -> None:
    found = server.get("/api/pair/4").json
    assert [one["text"] for one in found["texts"]] == ["a cat", "Ein Café"]
    assert found["columns"]["url"] == "http://host0.test/2.jpg"
    assert found["columns"]["width"] == 102
    assert found["columns"]["reason"] is None


def test_pictures_on_demand(server: Server) -> None:
    for path, longest in (("/thumb/2/1", 96), ("/picture/2/1", 96)):
        answer = server.get(path)
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert "max-age" in answer.headers["Cache-Control"]
        with Image.open(io.BytesIO(answer.body)) as picture:
            assert max(picture.size) == longest
    for place in ("2/77", "77/0", "0/-1"):
        assert server.get(f"/thumb/{place}").status == 404


def test_another_start_has_pictures_under_other_addresses(server: Server, tmp_path: Path) -> None:
    """A browser keeps pictures; on the same port they may be those of another run."""
    with serving(pairs_of(made(tmp_path / "other"))) as other:
        assert server.guard.base != other.guard.base
        old = f"{server.guard.base}/thumb/2/1"
        assert [other.ask("GET", old, base="").status, other.get("/thumb/2/1").status] == [404, 200]


def test_a_broken_picture_and_a_run_without_pictures(tmp_path: Path) -> None:
    extra = {"image": b"<svg onload=alert(1)>", "url": "u"}
    table = commit_table(tmp_path / "a", [[Row([Text()], extra=extra)]], extra=[URL, IMAGE])
    with serving(pairs_of(table)) as server:
        assert "picture" in server.get("/thumb/0/0").json["error"]
    with serving(pairs_of(commit_table(tmp_path / "b", [[Row([Text()])]]))) as server:
        state = server.get("/api/state").json
        assert (state["pictures"], state["embeddings"]) == (False, False)
        answer = server.post("/api/picture", b"x")
        assert (answer.status, "embed: true" in answer.json["error"]) == (400, True)


def test_like_one_of_the_run(server: Server) -> None:
    found = page(server, near={"image": [0, 1]})
    assert found["pairs"][0]["text"].endswith("dog")
    assert found["pairs"][0]["closeness"] == pytest.approx(1, abs=1e-3)
    answer = server.post("/api/page", {"query": {"near": {"image": [2, 1]}}})
    assert "has no embedding" in answer.json["error"]


def test_like_a_picture_and_what_words_describe(tmp_path: Path) -> None:
    table = embedded(tmp_path)
    with serving(pairs_of(table)) as server:
        body = table.rows(0, ["image"])["image"][4].as_py()
        said = server.post("/api/picture", body).json
        found = page(server, near={"picture": said["picture"]})
        assert found["pairs"][0]["uid"] == "0-4"
        assert found["pairs"][0]["closeness"] == pytest.approx(1, abs=2e-3)
        found = page(server, near={"words": "a small house"})
        close = [pair["closeness"] for pair in found["pairs"]]
        assert close == sorted(close, reverse=True)
        assert len(close) == found["total"] == 6
        answer = server.post("/api/picture", b"no picture")
        assert (answer.status, "cannot be used" in answer.json["error"]) == (400, True)


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    with serving(pairs_of(commit_table(tmp_path, [], extra=[URL, IMAGE]))) as server:
        assert server.get("/api/state").json["pairs"] == 0
        assert page(server, sort="x_itm", words="dog") == {"total": 0, "start": 0, "pairs": []}
        asked = {"query": {}, "threshold": {"column": "x_itm", "value": 0.5, "against": 0.1}}
        assert server.post("/api/effect", asked).json["scored"] == 0
        found = server.post("/api/histogram", {"query": {}, "column": "x_itm"}).json
        assert found["counts"] == {}
        assert server.get("/api/marks.jsonl").body == b""


def test_marks_are_saved_undone_and_exported(server: Server, tmp_path: Path) -> None:
    assert server.post("/api/mark", {"place": 0, "good": True}).json["marks"]["good"] == 1
    server.post("/api/mark", {"place": 1, "good": False})
    server.post("/api/mark", {"place": 2, "good": False})
    assert page(server)["pairs"][2]["mark"] == "bad"
    said = server.post("/api/undo", {}).json
    assert said == {"undone": True, "marks": {"good": 1, "bad": 1}}
    answer = server.get("/api/marks.jsonl")
    assert 'filename="marks.jsonl"' in answer.headers["Content-Disposition"]
    exported = tmp_path / "exported.jsonl"
    exported.write_bytes(answer.body)
    assert read_labels(exported) == {("0-0", "A red dog."): True, ("0-0", "dogs run"): False}
    asked = {"query": {}, "column": "x_itm", "measure": "precision", "value": 0.9}
    found = server.post("/api/calibrate", asked).json
    assert found["marks"] == {"good": 1, "bad": 1}
    assert 0.2 < found["found"]["chosen"]["threshold"] <= 0.9
    assert found["found"]["chosen"]["precision"]["value"] == 1


def test_numbers_that_a_browser_would_round_are_words(tmp_path: Path) -> None:
    import pyarrow as pa

    row = Row([Text()], extra={"phash": 2**63 + 1})
    table = commit_table(tmp_path, [[row]], extra=[pa.field("phash", pa.uint64())])
    with serving(pairs_of(table)) as server:
        found = server.get("/api/pair/0").json
        assert found["columns"]["phash"] == str(2**63 + 1)
        assert json.dumps(found).count(str(2**63 + 1)) == 1
