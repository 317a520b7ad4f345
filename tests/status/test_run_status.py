"""What a folder tells of a run that goes on, has ended, has died or does not move."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from curate.core.atomic import read_json, write_json
from curate.core.errors import StoreError
from curate.core.fakes import (
    FakeCaptionerConfig,
    FakeFilterConfig,
    FakeMapConfig,
    FakeSourceConfig,
    fake_plan,
)
from curate.core.layout import PROGRESS_FILE
from curate.core.lease import LEASE_FOLDER, owned
from curate.core.plan import LegPlan
from curate.core.progress import telling
from curate.core.store import Receipt, RunStore
from curate.engine.local import LocalEngine
from curate.passes import PassRunner, Watcher
from curate.progress import RunProgress
from curate.status.run import STALLED_S, RunFollower, run_status
from curate.status.state import exit_code
from curate.status.view import view
from tests.recipes import curate, folder_recipe, installed_plugin, picture_folder, write_recipe


@pytest.fixture(autouse=True)
def _plugin() -> Iterator[None]:
    with installed_plugin():
        yield


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A finished run."""
    picture_folder(tmp_path / "pictures")
    result = curate("run", write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path)))
    assert result.exit_code == 0, result.output
    return tmp_path / "run"


def shown(facts: dict[str, Any], width: int = 200) -> str:
    """Return what a person sees."""
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    with console.capture() as got:
        for part in view(facts):
            console.print(part)
    return got.get()


def going_on(root: Path, **changes: Any) -> dict[str, Any]:
    """Return the state of a run whose owner, this process, has said something."""
    said = {
        **RunProgress(Watching(None)).facts(),
        **{"pass": {"index": 1, "legs": [], "total": 3}, "committed_at": time.time()},
        **changes,
    }
    with owned(root), telling(root, lambda: said):
        while read_json(root / PROGRESS_FILE).get("pass") != said["pass"]:
            time.sleep(0.01)
        return run_status(root)


class Watching(RunProgress):
    """A reporter that looks at the folder at every commit."""

    def __init__(self, look: Callable[[], None] | None) -> None:
        from curate.outcome import Reporter

        super().__init__(Reporter())
        self._look = look

    def committed(self, leg: LegPlan, receipt: Receipt) -> None:
        super().committed(leg, receipt)
        if self._look is not None:
            self._look()


def test_a_finished_run(made: Path) -> None:
    facts = run_status(made)
    assert (facts["state"], facts["owner"], exit_code(facts)) == ("finished", None, 0)
    assert all(step["partitions"] == step["expected"] == 3 for step in facts["steps"])
    assert facts["progress"]["ended"] == {"how": "done", "said": ""}
    assert "finished" in shown(facts)
    assert "dropped by resolution: too_small 1" in shown(facts)
    watched = curate("status", made, "--watch")
    assert watched.exit_code == 0
    assert "finished" in watched.stdout


def test_a_follower_reads_what_a_fresh_look_reads(tmp_path: Path) -> None:
    plan = fake_plan(
        FakeSourceConfig(files=(25, 0, 12), partition_rows=5, bad_every=7),
        FakeMapConfig(num_cpus=1),
        FakeFilterConfig(),
        FakeCaptionerConfig(),
    )
    store = RunStore(tmp_path)
    store.write_plan(plan.nodes, plan.schema, {"name": "followed"})
    follower, seen = RunFollower(tmp_path), []

    def look() -> None:
        facts = follower.facts()
        assert facts["steps"] == run_status(tmp_path)["steps"]
        seen.append([step["partitions"] for step in facts["steps"]])

    result = PassRunner(plan, store, LocalEngine, Watching(look)).run()
    assert len(seen) == result.worked
    assert seen == sorted(seen)
    assert [step["rows_out"] for step in follower.facts()["steps"]] == [
        totals.rows_out for _, totals in result.totals
    ]


def test_workers_and_rates_while_it_goes_on(tmp_path: Path) -> None:
    plan = fake_plan(
        FakeSourceConfig(files=(12,), partition_rows=5), FakeMapConfig(num_cpus=1, sleep_s=0.02)
    )
    store = RunStore(tmp_path)
    store.write_plan(plan.nodes, plan.schema, {"name": "followed"})
    engine, seen = LocalEngine(), []
    watching = Watching(lambda: seen.append(watching.facts()))
    watching._workers = engine.workers
    PassRunner(plan, store, lambda: engine, watching).run()
    assert [[one["partition"] for one in facts["workers"]] for facts in seen] == [[0], [1], [2]]
    assert {one["state"] for facts in seen for one in facts["workers"]} == {"working"}
    (leg,) = plan.legs
    assert seen[-1]["rates"][leg.node.folder]["rows_per_s"] == pytest.approx(12, rel=0.2)
    assert seen[-1]["rates"][leg.node.folder]["busy"] > 0.06
    assert engine.workers() == ()


@pytest.mark.parametrize(
    ("raised", "state"),
    [(StoreError("the disk is on fire"), "failed"), (KeyboardInterrupt(), "stopped")],
)
def test_a_run_that_ended_otherwise(made: Path, raised: BaseException, state: str) -> None:
    with pytest.raises(type(raised)), owned(made), telling(made, dict):
        raise raised
    facts = run_status(made)
    assert (facts["state"], exit_code(facts)) == (state, 2)
    assert (str(raised) or "the same command goes on") in shown(facts)
    assert curate("status", made, "--watch").exit_code == 2
    assert curate("status", made).exit_code == 0


def test_a_run_that_was_killed(made: Path) -> None:
    lease = made / LEASE_FOLDER / "00000002.json"
    write_json(lease, {**read_json(next((made / LEASE_FOLDER).iterdir())), "pid": 2**22 - 1})
    lease.write_text(lease.read_text().replace('"released": true,', ""))
    facts = run_status(made)
    assert (facts["state"], facts["owner"], exit_code(facts)) == ("killed", None, 2)
    assert facts["last_owner"]["pid"] == 2**22 - 1
    assert "killed: its process is gone" in shown(facts)


def test_partitions_that_were_set_aside_are_told_and_end_with_3(made: Path) -> None:
    store = RunStore(made)
    leg = next(node for node in store.read_plan()[0] if node.is_leg)
    said = {"leg": "load", "where": "rows 0 to 3", "error": "it broke"}
    write_json(store.quarantine_file(leg, 0), said)
    facts = run_status(made)
    assert exit_code(facts) == 3
    assert "set aside rows 0 to 3 in load: it broke" in shown(facts)


def test_a_run_that_goes_on_says_who_and_what(made: Path) -> None:
    folder = RunStore(made).read_plan()[0][-1].folder
    rates = {"over_s": 60, "partitions_per_s": 0.5, "rows_per_s": 40, "busy": 1.5, "device": 1.0}
    workers = [
        {
            **{"worker": str(number), "leg": "text_length+letters", "state": state},
            **{"partition": number, "waiting": 0, "node": "", "since": time.time() - 70},
        }
        for number, state in enumerate(["working", "working", "starting"])
    ]
    done = next((made / folder).glob("done.json"))
    done.unlink()
    (made / folder / "commits" / "000000" / "part-00000002.json").unlink()
    facts = going_on(made, rates={folder: rates}, workers=workers, engine="on Ray", doing="pass 2")
    assert facts["state"] == "running"
    assert facts["steps"][-1]["left_s"] == pytest.approx(2.0)
    assert facts["stalled"] is None
    text = shown(facts, width=90)
    assert "pass 2, on Ray" in text
    assert "last commit 0:0" in text
    row = next(line for line in text.splitlines() if line.startswith("text_length"))
    assert row.split()[1:] == ["2/3", "5", "0", "5", "40.0", "75%", "0:02"]
    assert "2 working, 1 starting: partition 0 for 1:10, 1 for 1:10" in text
    assert max(map(len, text.splitlines())) <= 90


def test_a_run_that_does_not_move_is_called_stalled(made: Path) -> None:
    long_ago = time.time() - STALLED_S - 5
    facts = going_on(made, event_at=long_ago, committed_at=long_ago, slowest_s=3.0)
    assert facts["stalled"].startswith("no commit for 12")
    assert "the slowest partition took 3 s" in facts["stalled"]
    assert "stalled: no commit" in shown(facts)
    slow = going_on(made, event_at=long_ago, committed_at=long_ago, slowest_s=100.0)
    assert slow["stalled"] is None
    loading = going_on(made, event_at=long_ago, committed_at=None)
    assert loading["stalled"] is None
    between = going_on(made, event_at=long_ago, **{"pass": None, "doing": "resolving exact"})
    assert between["stalled"] is None


def test_what_another_process_said_is_not_believed(made: Path) -> None:
    said = read_json(made / PROGRESS_FILE)
    write_json(made / PROGRESS_FILE, {**said, "pid": said["pid"] + 1})
    with owned(made):
        facts = run_status(made)
    assert (facts["state"], facts["progress"], facts["stalled"]) == ("running", None, None)
    assert "running as process" in shown(facts)
    (made / PROGRESS_FILE).write_text("{")
    assert run_status(made)["state"] == "finished"


def test_json_while_watching_is_an_object_a_line(made: Path) -> None:
    result = curate("status", made, "--watch", "--json")
    (line,) = result.stdout.splitlines()
    assert json.loads(line) == json.loads(curate("status", made, "--json").stdout)


def test_an_interval_without_watching_is_refused(made: Path) -> None:
    result = curate("status", made, "--interval", "3")
    assert result.exit_code == 2
    assert "--interval goes with --watch" in result.stderr


def test_everything_told_is_handed_on() -> None:
    told = {name for name in vars(RunProgress) if not name.startswith("_")}
    listens = {name for cls in (Watcher, *RunProgress.__mro__) for name in vars(cls)}
    reporter = {n for n in listens if not n.startswith("_")} - {"facts", "telling"}
    assert reporter <= told
