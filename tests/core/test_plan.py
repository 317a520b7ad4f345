from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.core import columns
from curate.core.config import StageConfig
from curate.core.fakes import (
    FakeBarrierConfig,
    FakeCaptionerConfig,
    FakeFilterConfig,
    FakeMapConfig,
    FakeScorerConfig,
    FakeSourceConfig,
    FakeTextFilterConfig,
    fake_plan,
)
from curate.core.plan import Plan, StagePlan, compile_plan
from curate.core.plan_check import check_columns
from curate.sources.url_list import Config as UrlListConfig
from curate.stages.download.fetch import Config as FetchConfig
from curate.stages.filters.resolution import Config as ResolutionConfig

SOURCE = FakeSourceConfig()
HEAVY = FakeMapConfig(num_cpus=1)
LIGHT = FakeMapConfig()


def cut(*stages: Any) -> list[list[tuple[str, ...]]]:
    return [[leg.node.stages for leg in one.legs] for one in fake_plan(SOURCE, *stages).passes]


def fingerprints(plan: Plan) -> list[str]:
    return [node.fingerprint for node in plan.nodes]


# -- where a pass is cut ------------------------------------------------------------------------


def test_a_plan_without_stages_still_reads_the_list() -> None:
    assert cut() == [[("source",)]]


def test_a_row_filter_rides_behind_the_stage_whose_rows_it_thins_out() -> None:
    assert cut(HEAVY, FakeFilterConfig(), FakeScorerConfig()) == [
        [("source", "length", "fakefilter"), ("fakescorer",)]
    ]


def test_a_text_filter_rides_ahead_of_the_next_leg() -> None:
    # changing it must not redo what came before
    assert cut(HEAVY, FakeTextFilterConfig(), FakeScorerConfig()) == [
        [("source", "length"), ("faketextfilter", "fakescorer")]
    ]


def test_light_stages_at_the_start_ride_with_the_source() -> None:
    assert cut(LIGHT, FakeFilterConfig(), HEAVY.model_copy(update={"writes_as": "other"})) == [
        [("source", "length", "fakefilter", "other")]
    ]


def test_stages_of_equal_resources_share_a_worker_and_others_do_not() -> None:
    other = HEAVY.model_copy(update={"writes_as": "other"})
    assert cut(FakeScorerConfig(), HEAVY, other)[0] == [
        ("source", "fakescorer"),
        ("length",),
        ("other",),  # the key differs: another model, say
    ]
    twice = [FakeCaptionerConfig(), FakeCaptionerConfig()]
    plan = fake_plan(SOURCE, *twice)
    assert len(plan.legs) == 1


def test_a_barrier_ends_its_pass() -> None:
    plan = fake_plan(SOURCE, LIGHT, FakeBarrierConfig(), FakeScorerConfig())
    assert [[leg.node.stages for leg in one.legs] for one in plan.passes] == [
        [("source", "length")],
        [("fakescorer",)],
    ]
    assert plan.passes[0].barrier is not None
    assert plan.passes[1].barrier is None
    assert [node.is_leg for node in plan.nodes] == [True, False, True]


def test_two_barriers_in_a_row_make_a_pass_without_legs() -> None:
    plan = fake_plan(SOURCE, LIGHT, FakeBarrierConfig(), FakeBarrierConfig())
    assert [len(one.legs) for one in plan.passes] == [1, 0]


def test_the_last_leg_of_a_pass_reads_what_its_barrier_needs() -> None:
    plan = fake_plan(SOURCE, HEAVY, FakeScorerConfig(), FakeBarrierConfig())
    first, second = plan.legs
    assert "length" in first.hands_on
    assert "length" in second.reads


# -- columns ------------------------------------------------------------------------------------


def test_each_leg_holds_what_it_adds_and_the_table_holds_all() -> None:
    plan = fake_plan(SOURCE, HEAVY, FakeTextFilterConfig(), FakeScorerConfig())
    first, second = (leg.node.schema for leg in plan.legs)
    assert first is not None
    assert second is not None
    assert first.names == [
        *("uid", "url", "texts", "text_sources", "text_models", "text_reasons", "length")
    ]
    assert second.names == ["fake_itm", "text_reasons"]
    assert plan.schema.names == ["partition", "row", *first.names, "fake_itm"]
    assert plan.legs[1].resources.num_cpus == 1


def _stage(config: StageConfig, name: str, place: int, family: str = "filters") -> StagePlan:
    return StagePlan(family, name, name, config, f"stages[{place}]", line=10 + place)


def test_a_column_nobody_writes_is_a_problem_with_line_and_mending() -> None:
    stages = [_stage(ResolutionConfig(min_side=2), "resolution", 0)]
    problems = check_columns(SOURCE.build().schema(), stages)
    assert {(one.line, one.key) for one in problems} == {(10, "stages[0]")}
    assert "resolution reads the column 'original_width', which no stage before it writes" in {
        one.message for one in problems
    }


def test_a_stage_that_stands_too_early_is_told_whom_to_follow() -> None:
    fetch = _stage(FetchConfig(), "fetch", 1, "download")
    problems = check_columns(
        SOURCE.build().schema(), [_stage(ResolutionConfig(min_side=2), "resolution", 0), fetch]
    )
    assert {one.hint for one in problems} == {"fetch at stages[1] writes it: move it ahead"}
    in_order = [fetch, _stage(ResolutionConfig(min_side=2), "resolution", 2)]
    assert check_columns(SOURCE.build().schema(), in_order) == []


def test_a_misspelt_column_is_answered_with_the_nearest() -> None:
    schema = pa.schema([columns.UID, columns.URL, pa.field("lenght", pa.int64())])
    (problem,) = check_columns(schema, [_stage(FakeBarrierConfig(), "b", 0)])
    assert problem.hint == "did you mean 'lenght'?"


def test_a_missing_image_is_answered_with_a_download_stage() -> None:
    class Looks(FakeMapConfig):
        @property
        def reads(self) -> tuple[str, ...]:
            return ("image",)

    (problem,) = check_columns(SOURCE.build().schema(), [_stage(Looks(), "looks", 0)])
    assert problem.hint.startswith("a download stage writes it: 'fetch' for a list of URLs")


def test_two_scorers_of_one_name_are_a_problem() -> None:
    stages = [_stage(FakeScorerConfig(), "a", 0), _stage(FakeScorerConfig(), "b", 1)]
    (problem,) = check_columns(SOURCE.build().schema(), stages)
    assert str(problem) == (
        "line 11: stages[1]: b writes the column 'fake_itm', which is there already "
        "(give the stage another name with 'as')"
    )


# -- fingerprints -------------------------------------------------------------------------------


def test_a_changed_stage_changes_its_leg_and_what_follows_and_nothing_before() -> None:
    stages = [HEAVY, FakeCaptionerConfig(), FakeScorerConfig()]
    before = fingerprints(fake_plan(SOURCE, *stages))
    stages[1] = FakeCaptionerConfig(num_cpus=2)
    after = fingerprints(fake_plan(SOURCE, *stages))
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]


def test_a_barrier_put_in_changes_what_follows() -> None:
    before = fingerprints(fake_plan(SOURCE, LIGHT, FakeScorerConfig()))
    after = fake_plan(SOURCE, LIGHT, FakeBarrierConfig(), FakeScorerConfig())
    assert before[0] != fingerprints(after)[0]  # the scorer rode with the source before
    assert len(set(fingerprints(after))) == 3


def test_the_fingerprint_names_the_folder() -> None:
    for node in fake_plan(SOURCE, LIGHT, FakeBarrierConfig(), FakeScorerConfig()).nodes:
        assert node.folder.endswith(node.fingerprint[:8])


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"partition_rows": 7}, True),  # tuning
        ({"path": "elsewhere/*.csv"}, True),  # a moved list is the same list
        ({"url": "link"}, False),
        ({"text_source": "human"}, False),
    ],
)
def test_what_of_a_source_decides_the_work(
    tmp_path: Path, change: dict[str, Any], same: bool
) -> None:
    def plan(**options: Any) -> Plan:
        config = UrlListConfig(**{"path": str(tmp_path / "a.csv"), **options})
        stage = StagePlan("sources", "url_list", "url_list", config)
        return compile_plan(stage, pa.schema([columns.UID, columns.URL]), [])

    assert (fingerprints(plan()) == fingerprints(plan(**change))) is same


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"timeout_s": 3}, True),  # patience
        ({"resize": 123}, False),
    ],
)
def test_what_of_a_fetch_decides_the_work(change: dict[str, Any], same: bool) -> None:
    def plan(**options: Any) -> Plan:
        stage = _stage(FetchConfig(**options), "fetch", 0, "download")
        source = StagePlan("sources", "fake", "source", SOURCE)
        return compile_plan(source, SOURCE.build().schema(), [stage])

    assert (fingerprints(plan()) == fingerprints(plan(**change))) is same


def test_a_raised_version_and_another_name_are_other_work() -> None:
    class Newer(FakeMapConfig):
        version = 2

    def of(config: StageConfig, name: str) -> list[str]:
        source = StagePlan("sources", "fake", "source", SOURCE)
        stage = StagePlan("download", "map", name, config)
        return fingerprints(compile_plan(source, SOURCE.build().schema(), [stage]))

    assert of(FakeMapConfig(), "a") == of(FakeMapConfig(), "a")
    assert of(Newer(), "a") != of(FakeMapConfig(), "a")
    assert of(FakeMapConfig(), "b") != of(FakeMapConfig(), "a")


_PRINT = (
    "from curate.core.fakes import FakeSourceConfig, FakeMapConfig, FakeScorerConfig, fake_plan\n"
    "plan = fake_plan(FakeSourceConfig(), FakeMapConfig(num_cpus=1), FakeScorerConfig())\n"
    "print(*[node.fingerprint for node in plan.nodes])"
)


def test_the_same_plan_has_the_same_fingerprints_in_another_process() -> None:
    plan = fake_plan(FakeSourceConfig(), FakeMapConfig(num_cpus=1), FakeScorerConfig())
    said = subprocess.run(
        [sys.executable, "-c", _PRINT],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == fingerprints(plan)
