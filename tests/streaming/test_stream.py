from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed
from pydantic import ValidationError
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import curate
from curate.core.columns import IMAGE
from curate.core.errors import StoreError
from curate.core.samples import Sample
from curate.streaming.stream import SelectionStream
from tests.core.tables import Row, Text, commit_table
from tests.exporters.material import chosen
from tests.images.pictures import jpeg

COUNT = 41


def text_of(sample: Sample) -> str:
    return sample.captions[0].text


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of seven partitions with 41 selected texts of 38 images."""
    root = tmp_path_factory.mktemp("run")
    body = jpeg(0)
    partitions: list[list[Row]] = [[] for _ in range(7)]
    for number in range(38):
        texts = [Text(f"web {number}", 0.9), Text(f"no {number}", 0.1)]
        if number % 13 == 0:
            texts.append(Text(f"made {number}", 0.8, "synthetic"))
        partitions[number % 3 + number % 5].append(Row(texts, extra={"image": body}))
    chosen(commit_table(root, partitions, extra=[IMAGE]))
    return root


def opened(run: Path, **options: Any) -> SelectionStream:
    return curate.stream(run, **{"transform": text_of, **options})


def every(run: Path) -> list[str]:
    return list(opened(run, shuffle=False))


def test_every_selected_text_is_given_once(run: Path) -> None:
    texts = every(run)
    assert len(texts) == len(set(texts)) == COUNT == len(opened(run))
    assert not any(text.startswith("no") for text in texts)
    shuffled = list(opened(run))
    assert shuffled != texts
    assert sorted(shuffled) == sorted(texts)
    assert shuffled == list(opened(run))


def test_a_sample_is_a_picture_with_its_texts(run: Path) -> None:
    first = next(iter(curate.stream(run, shuffle=False, per="image")))
    assert first["image"].dtype == np.uint8
    assert first["image"].shape == (72, 96, 3)
    assert first["texts"] == ["web 0", "made 0"]
    assert (first["text"], first["weights"]) == ("web 0", [0.5, 0.5])
    one = next(iter(curate.stream(run, shuffle=False)))
    assert (one["text"], one["texts"], one["weight"]) == ("web 0", ["web 0"], 0.5)


def test_an_image_a_sample(run: Path) -> None:
    stream = opened(run, per="image")
    assert len(stream) == len(list(stream)) == 38


def test_one_text_is_drawn_anew_in_every_epoch(run: Path) -> None:
    stream = opened(run, per="image", texts="sample", shuffle=False)
    drawn = []
    for epoch in range(12):
        stream.set_epoch(epoch)
        drawn.append(next(iter(stream)))
    assert set(drawn) == {"web 0", "made 0"}
    stream.set_epoch(3)
    assert next(iter(stream)) == drawn[3]


@pytest.mark.parametrize("even", [True, False])
def test_ranks_share_without_repeats(run: Path, even: bool) -> None:
    shares = [list(opened(run, rank=rank, world=3, even=even)) for rank in range(3)]
    together = [text for share in shares for text in share]
    assert len(set(together)) == len(together) == (39 if even else COUNT)
    lengths = [len(opened(run, rank=rank, world=3, even=even)) for rank in range(3)]
    assert lengths == [len(share) for share in shares]


def test_the_ranks_are_torch_distributeds(run: Path, tmp_path: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        assert len(opened(run)) == COUNT
    finally:
        torch.distributed.destroy_process_group()


def test_workers_share_without_repeats(run: Path) -> None:
    # not by fork: other tests of this process have imported lance, which warns of it
    loader = DataLoader(
        opened(run), batch_size=4, num_workers=2, multiprocessing_context="forkserver"
    )
    texts = [text for batch in loader for text in batch]
    assert sorted(texts) == sorted(every(run))


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_stream_goes_on_exactly_where_it_was(run: Path, shuffle: bool) -> None:
    for epoch in (0, 2):
        whole = opened(run, shuffle=shuffle, mix=2, rank=1, world=2)
        whole.set_epoch(epoch)
        texts = list(whole)
        for given in range(len(texts) + 1):
            stream = opened(run, shuffle=shuffle, mix=2, rank=1, world=2)
            stream.set_epoch(epoch)
            reading = iter(stream)
            first = [next(reading) for _ in range(given)]
            state = json.loads(json.dumps(stream.state_dict()))
            again = opened(run, shuffle=shuffle, mix=2, rank=1, world=2)
            again.load_state_dict(state)
            assert first + list(again) == texts
            assert again.epoch == epoch


def test_after_the_end_the_next_iteration_begins_anew(run: Path) -> None:
    stream = opened(run)
    assert list(stream) == list(stream)
    finished = stream.state_dict()
    stream.load_state_dict(finished)
    assert list(stream) == []
    stream.load_state_dict(finished)
    stream.set_epoch(1)
    assert len(list(stream)) == COUNT


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata calls it
def test_workers_go_on_exactly_where_they_were(run: Path) -> None:
    def loader() -> Any:
        return StatefulDataLoader(
            opened(run, mix=2), batch_size=3, num_workers=2, multiprocessing_context="forkserver"
        )

    whole = [tuple(batch) for batch in loader()]
    for given in (0, 1, 4, 7):
        first = loader()
        reading = iter(first)
        batches = [tuple(next(reading)) for _ in range(given)]
        state = first.state_dict()
        again = loader()
        again.load_state_dict(state)
        assert batches + [tuple(batch) for batch in again] == whole


def test_states_of_other_streams_and_readers_are_refused(run: Path) -> None:
    stream = opened(run)
    next(iter(stream))
    state = stream.state_dict()
    for other in (opened(run, seed=1), opened(run, per="image"), opened(run, mix=3)):
        with pytest.raises(StoreError, match="another run, selection, order"):
            other.load_state_dict(state)
    elsewhere = opened(run, rank=0, world=2)
    elsewhere.load_state_dict(state)
    with pytest.raises(StoreError, match="as many processes and workers as before"):
        next(iter(elsewhere))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of Ray Data's own defaults
def test_ray_data_reads_the_same_samples(run: Path) -> None:
    import ray

    from curate.engine.ray_actors import connect

    stream = opened(run, per="image")
    started = not ray.is_initialized()
    if started:
        connect(None)
    try:
        rows = stream.ray_dataset().take_all()
    finally:
        if started:
            ray.shutdown()
    rows.sort(key=lambda row: row["key"])  # partitions come as they are ready
    assert [row["text"] for row in rows] == list(opened(run, per="image", shuffle=False))
    assert list(rows[0]["texts"]) == ["web 0", "made 0"]
    assert rows[0]["image"] == jpeg(0)


def test_a_stream_pickles(run: Path) -> None:
    stream = opened(run)
    assert list(pickle.loads(pickle.dumps(stream))) == list(stream)


def test_what_does_not_fit_is_refused(run: Path) -> None:
    with pytest.raises(ValueError, match="rank and world go together"):
        curate.stream(run, rank=0)
    with pytest.raises(ValueError, match="ranks count from 0"):
        curate.stream(run, rank=2, world=2)
    with pytest.raises(ValueError, match="mix is at least 1"):
        curate.stream(run, mix=0)
    with pytest.raises(ValidationError, match="best_by goes with"):
        curate.stream(run, texts="best")
    with pytest.raises(StoreError, match="no selection 'strict'"):
        curate.stream(run, "strict")
