"""Whatever a server answers: a picture or a reason, never an exception, never a hang."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pytest

from curate.stages.download.fetch import Config
from tests.farm import http_rows, site_rows
from tests.farm.behaviour import Behaviour, steps
from tests.farm.server import serve
from tests.fuzz.mutate import COUNT, damaged

_ROWS: tuple[Behaviour, ...] = (
    *http_rows.STATUS,
    *http_rows.LENGTH[:13],
    *http_rows.CODING,
    *http_rows.HEADERS,
    *http_rows.REDIRECT,
    *site_rows.OPT_OUT,
)


def _whole(row: Behaviour) -> bytes:
    assert row.page is not None
    return b"".join(step for step in row.page(0) if isinstance(step, bytes))


ANSWERS = [_whole(row) for row in _ROWS]


def check(folder: Path, answers: list[bytes]) -> None:
    """Fetch every answer once."""
    pages = {("fuzz", f"/{i}"): steps(body, 0.2) for i, body in enumerate(answers)}
    with serve(pages, folder) as farm:
        config = Config(
            resolve={f"fuzz-{i}.test:80": f"127.0.0.1:{farm.ports['http']}" for i in range(8)},
            **{"timeout_s": 3, "idle_timeout_s": 1, "retries": 0, "robots_txt": False},
            **{"host_failures": 0, "per_host": 64, "concurrency": 256, "deadline_s": 300},
        )
        urls = [f"http://fuzz-{i % 8}.test/{i}" for i in range(len(answers))]
        stage = config.build()
        begun = time.monotonic()
        with stage.ready():
            mapped = stage(pa.table({"url": urls}))
        assert mapped.reasons is not None
        for image, reason in zip(
            mapped.rows["image"].to_pylist(), mapped.reasons.to_pylist(), strict=True
        ):
            assert (image is None) == (reason is not None)
        assert "deadline" not in mapped.reasons.to_pylist()
        assert time.monotonic() - begun < 300


def test_damaged_answers(tmp_path: Path) -> None:
    check(tmp_path, list(damaged(ANSWERS, 300, seed=1)))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_damaged_answers(tmp_path: Path) -> None:
    for turn in range(max(1, COUNT // 2000)):
        check(tmp_path, list(damaged(ANSWERS, 2000, seed=turn)))
