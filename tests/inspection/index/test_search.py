"""Search through ``RunView``, with the model that comes with curate."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import curate
from curate.core.errors import ModelError, SourceError, StoreError
from tests.core.tables import Row, Text, commit_table
from tests.images.pictures import jpeg
from tests.inspection.index.material import SCORER, embedded, made
from tests.models.checkpoints import tiny_med
from tests.recipes import TEXTS, folder_recipe, installed_plugin, picture_folder, write_recipe
from tests.recipes import curate as command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> curate.RunView:
    return curate.RunView(embedded(tmp_path_factory.mktemp("run")))


def test_by_words(run: curate.RunView) -> None:
    found = run.search("birds", columns=["url"])
    assert isinstance(found, pd.DataFrame)
    assert sorted(found["text"]) == ["birds", "two birds in the snow"]
    assert set(found["url"]) == {"http://x.test/1"}
    assert found["relevance"].is_monotonic_decreasing
    assert len(run.search("birds", limit=1)) == 1
    empty = run.search("zebra", arrow=True)
    assert (empty.num_rows, empty.column_names[-1]) == (0, "relevance")
    assert run.show(found).count == 1  # two texts of one picture


def test_by_a_picture_in_every_form(run: curate.RunView, tmp_path: Path) -> None:
    body = run.rows(["image"], arrow=True)["image"][4].as_py()
    (tmp_path / "picture.png").write_bytes(body)
    forms = [body, tmp_path / "picture.png", str(tmp_path / "picture.png")]
    for picture in [*forms, Image.open(io.BytesIO(body)), run.rows()["uid"][4]]:
        found = run.search(image=picture, limit=3)
        assert found["uid"][0] == "0-4"
        assert found["similarity"][0] == pytest.approx(1, abs=2e-3)
        assert found["similarity"].is_monotonic_decreasing
        assert len(found) == 3


def test_by_meaning_the_order_is_that_of_the_cosines(run: curate.RunView) -> None:
    found = run.search("a small house", by="meaning", limit=20)
    assert sorted(found["uid"]) == ["0-0", "0-1", "0-1", "0-3", "0-4", "0-5"]
    model = SCORER.load()
    vector = model.embed_texts(["a small house"])
    assert vector is not None
    rows = run.rows(["uid", "filter_embed"])
    cosines = {
        uid: float(np.asarray(embed, np.float32) @ vector[0])
        for uid, embed in zip(rows["uid"], rows["filter_embed"], strict=True)
    }
    expected = [cosines[uid] for uid in found["uid"]]
    np.testing.assert_allclose(found["similarity"], expected, atol=2e-3)
    assert found["similarity"].is_monotonic_decreasing


def test_what_cannot_be_searched_for(run: curate.RunView) -> None:
    with pytest.raises(StoreError, match="one of the two"):
        run.search()
    with pytest.raises(StoreError, match="one of the two"):
        run.search("dog", image=b"")
    with pytest.raises(StoreError, match=r"has the uid 'no\.jpg', and there is no such file"):
        run.search(image="no.jpg")
    with pytest.raises(SourceError, match=r"cannot read .*no\.jpg"):
        run.search(image=Path("no.jpg"))
    with pytest.raises(SourceError, match="this picture cannot be used: not_an_image"):
        run.search(image=b"no picture")
    with pytest.raises(StoreError, match="by 'meening': did you mean 'meaning'"):
        run.search("dog", by="meening")  # type: ignore[call-overload]
    with pytest.raises(StoreError, match="by='meaning' is for words"):
        run.search(image="0-1", by="meaning")
    for limit in (0, -1):
        with pytest.raises(StoreError, match=f"limit {limit}: at least 1"):
            run.search("dog", limit=limit)
    with pytest.raises(StoreError, match="no column 'ulr': did you mean 'url'"):
        run.search("dog", columns=["ulr"])


def test_without_embeddings_it_is_said_how_to_get_them(tmp_path: Path) -> None:
    run = curate.RunView(commit_table(tmp_path, [[Row([Text()])]]))
    with pytest.raises(StoreError, match="'embed: true'"):
        run.search(image=jpeg(0))
    with pytest.raises(StoreError, match="'embed: true'"):
        run.search("dog", by="meaning")


def test_a_checkpoint_that_is_another_one_now(run: curate.RunView, tmp_path: Path) -> None:
    made(tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text())
    stage = {"name": "x", "stage": "scorers/med", **SCORER.identity(), "weights": "other"}
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "stages": [stage]}))
    with pytest.raises(ModelError, match="is not the one that 'x' made its embeddings with"):
        curate.open_run(tmp_path).search(image=jpeg(0))
    # a row of the run needs no model
    assert curate.open_run(tmp_path).search(image="0-1", limit=1)["uid"][0] == "0-1"


def test_a_run_that_does_not_say_who_made_its_embeddings(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(ModelError, match="does not say which scorer made x_embed"):
        curate.open_run(tmp_path).search(image=jpeg(0))


def test_embeddings_of_a_scorer_that_was_added_to_the_run(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures", TEXTS)
    with installed_plugin():
        recipe = write_recipe(tmp_path / "recipe.yaml", folder_recipe(tmp_path))
        assert command("run", recipe, "--json").exit_code == 0
        before = curate.open_run(tmp_path / "run")
        assert len(before.search("a", limit=3)) <= 3
        with pytest.raises(StoreError, match="curate add-score"):
            before.search(image=jpeg(0))
        options = ("--set", f"model={tiny_med(tmp_path / 'm')}", "--set", "embed=true")
        added = command(
            "add-score", tmp_path / "run", "--kind", "med", "--set", "as=near", *options
        )
        assert added.exit_code == 0, added.output
        run = curate.open_run(tmp_path / "run")
        uid = run.rows()["uid"][1]
        body = run.rows(["image"], arrow=True)["image"][1].as_py()
        for image in (uid, body):
            found = run.search(image=image, limit=1)
            assert found["uid"][0] == uid
            assert found["similarity"][0] == pytest.approx(1, abs=2e-3)
