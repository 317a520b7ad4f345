"""Scaling by numbers whose right answer can be written down."""

from __future__ import annotations

from typing import Any

import pytest

from curate.core.errors import EngineError
from curate.core.plan import Plan
from curate.engine.base import EngineConfig
from curate.engine.pools import Cluster
from curate.probe.measured import LegMeasured, Measured, StageMeasured, StepMeasured
from curate.probe.predict import predict
from curate.probe.prediction import Prediction, Prices
from curate.recipe import parse
from tests.recipes import folder_recipe, picture_folder

SIZES = [10, 20, 40, 10]
ROWS, PARTITIONS = 1000, 10
EACH, PER_ROW = 0.5, 0.01


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan of two legs: one that loads, one that scores on two cores and half a GPU."""
    tmp = tmp_path_factory.mktemp("plan")
    picture_folder(tmp / "pictures")
    recipe = folder_recipe(tmp, select=None)
    recipe["stages"] = [
        {"kind": "load", "root": str(tmp / "pictures")},
        {"kind": "scorers/med", "as": "f", "model": "curate-tiny", "num_cpus": 2, "num_gpus": 0.5},
    ]
    return parse(recipe).plan()


def stage(name: str, seconds: list[float], **changes: Any) -> StageMeasured:
    said: dict[str, Any] = {
        "name": name,
        "seconds": seconds,
        "full_flight_s": [0.0] * len(SIZES),
        "cpu_s": [0.0] * len(SIZES),
        "rows_in": SIZES,
        "rows_out": SIZES,
    }
    return StageMeasured(**{**said, **changes})


def measured(**changes: Any) -> Measured:
    """Every stage takes half a second a partition and a hundredth a row; half the rows stop."""
    taken = [EACH + PER_ROW * size for size in SIZES]
    halves = [size // 2 for size in SIZES]
    said: dict[str, Any] = {
        "when": "2026-01-01T00:00:00+00:00",
        "device": "CPU",
        "gpus": 0,
        "rows": ROWS,
        "partitions": PARTITIONS,
        "partition_rows": 100,
        "list_s": 1.0,
        "read_s": 0.2,
        "sizes": SIZES,
        "legs": [
            LegMeasured(
                name="image_folder+load",
                index=(0, 0),
                start_s=2.0,
                stages=[stage("load", taken, rows_out=halves)],
                beside_s=[0.1] * 4,
                num_bytes=[100 + 50 * size for size in SIZES],
                num_cpus=1.0,
                num_gpus=0.0,
                gpu_optional=False,
            ),
            LegMeasured(
                name="f",
                index=(0, 1),
                start_s=4.0,
                stages=[stage("f", [2 * one for one in taken], rows_in=halves, rows_out=halves)],
                beside_s=[0.0] * 4,
                num_bytes=[10 * size for size in SIZES],
                num_cpus=2.0,
                num_gpus=0.5,
                gpu_optional=True,
            ),
        ],
        "steps": [],
        "rows_kept": halves,
        "texts": SIZES,
        "selected": None,
        "left_out": [],
    }
    return Measured(**{**said, **changes})


def local(plan: Plan, said: Measured, prices: Prices | None = None) -> Prediction:
    return predict(said, plan, EngineConfig(), Cluster(4, 0), prices or Prices())


LOAD_S = EACH * PARTITIONS + PER_ROW * ROWS + 0.1 * PARTITIONS + 0.2 * ROWS / 100
SCORE_S = 2 * (EACH * PARTITIONS + PER_ROW * ROWS)


def test_the_local_engine_takes_its_turns(plan: Plan) -> None:
    said = local(plan, measured())
    assert said.seconds.value == pytest.approx(1.0 + 2.0 + 4.0 + LOAD_S + SCORE_S)
    # the sample lies on a line: drawing it again changes nothing
    assert said.seconds.low == pytest.approx(said.seconds.value) == said.seconds.high
    assert said.num_bytes.value == pytest.approx(100 * PARTITIONS + 60 * ROWS)
    assert said.rows_kept.value == pytest.approx(ROWS / 2)
    assert said.bytes_a_pair == pytest.approx(said.num_bytes.value / ROWS)
    load, commit, score, _ = said.stages
    assert (load.rows_in, score.rows_in) == pytest.approx((ROWS, ROWS / 2))
    assert load.survival.value == 0.5
    assert 0.39 < load.survival.low < 0.5 < load.survival.high < 0.61
    assert (load.start_s, score.start_s) == (2.0, 4.0)
    assert score.busy_s.value == pytest.approx(SCORE_S)
    assert (commit.name, commit.num_bytes) == ("commit", pytest.approx(100 * 10 + 50 * ROWS))


def test_what_differs_from_chunk_to_chunk_widens_the_interval(plan: Plan) -> None:
    legs = measured().legs
    noisy = [stage("load", [0.6, 0.9, 0.5, 0.8], rows_out=[5, 2, 30, 5])]
    said = local(plan, measured(legs=[legs[0].model_copy(update={"stages": noisy}), legs[1]]))
    assert said.seconds.low < said.seconds.value < said.seconds.high
    assert said.stages[0].busy_s.high > said.stages[0].busy_s.value


def test_costs_are_hours_times_prices(plan: Plan) -> None:
    engine = EngineConfig(kind="ray", workers={"load": 2, "f": 2})
    prices = Prices(gpu_hour=3600.0, cpu_hour=36.0)
    said = predict(measured(gpus=1, device="a GPU"), plan, engine, Cluster(8, 1), prices)
    score = said.stages[2]
    assert (score.workers, score.start_s) == (2, 8.0)  # a start for each worker
    assert score.gpu_hours * 3600 == pytest.approx(0.5 * (8.0 + SCORE_S))
    assert score.cpu_hours * 3600 == pytest.approx(2.0 * (8.0 + SCORE_S))
    assert score.cost == pytest.approx((0.5 + 0.02) * (8.0 + SCORE_S))
    assert said.cost == pytest.approx(said.seconds.value * (1 + 0.01 * 8))
    # legs work at once: the slower sets the pace, one partition of the other fills the line
    pace = max(LOAD_S / 2, SCORE_S / 2, (LOAD_S + 2 * SCORE_S) / 8)
    fill = min(LOAD_S, SCORE_S) / PARTITIONS
    assert said.seconds.value == pytest.approx(1.0 + 4.0 + pace + fill)


def test_cores_that_the_cluster_has_not_are_shared(plan: Plan) -> None:
    engine = EngineConfig(kind="ray", workers={"load": 4, "f": 4})
    said = predict(measured(), plan, engine, Cluster(2, 0), Prices())
    fill = min(LOAD_S, SCORE_S) / PARTITIONS
    assert said.seconds.value == pytest.approx(5.0 + (LOAD_S + 2 * SCORE_S) / 2 + fill)


def test_gpus_that_the_cluster_has_not_are_refused(plan: Plan) -> None:
    engine = EngineConfig(kind="ray", workers={"f": 8})
    with pytest.raises(EngineError, match="4 GPUs"):
        predict(measured(), plan, engine, Cluster(8, 2), Prices())


def test_requests_in_flight_are_paid_by_the_row_and_the_last_ones_by_the_partition(
    plan: Plan,
) -> None:
    # a row holds a place for 6.4 s, 64 places; the slowest of each partition takes 3 s more
    flight = [0.1 * size for size in SIZES]
    fetched = [stage("load", [one + 3.0 for one in flight], full_flight_s=flight)]
    legs = measured().legs
    said = local(plan, measured(legs=[legs[0].model_copy(update={"stages": fetched}), legs[1]]))
    assert said.stages[0].busy_s.value == pytest.approx(0.1 * ROWS + 3.0 * PARTITIONS + 2.0)


def test_a_download_that_the_processor_holds_up_goes_at_its_pace(plan: Plan) -> None:
    # few requests at a time hide what a row costs: 0.2 s of two cores, whatever the flight says
    seconds = [0.1 * size for size in SIZES]
    fetched = [
        stage(
            "load",
            seconds,
            full_flight_s=[0.01 * size for size in SIZES],
            cpu_s=[0.2 * size for size in SIZES],
        )
    ]
    legs = measured().legs
    said = local(plan, measured(legs=[legs[0].model_copy(update={"stages": fetched}), legs[1]]))
    assert said.stages[0].busy_s.value == pytest.approx(0.1 * ROWS + 2.0)


def test_steps_over_the_table_have_a_beginning_and_go_by_the_row(plan: Plan) -> None:
    steps = [
        StepMeasured(
            name="exact",
            after_pass=0,
            rows=(40, 80),
            seconds=(3.0, 4.0),
            num_bytes=(0, 800),
            rows_in=80,
            rows_out=76,
        ),
        StepMeasured(
            name="lance", after_pass=None, rows=(40, 80), seconds=(1.0, 0.9), num_bytes=(400, 800)
        ),
    ]
    said = local(plan, measured(steps=steps, left_out=["pretrain"]))
    exact, lance = said.steps
    assert exact.seconds == pytest.approx(2.0 + ROWS / 40)
    assert (exact.num_bytes, exact.survival) == (pytest.approx(20 * ROWS), 0.95)
    assert lance.seconds == pytest.approx(0.9)  # no slower with more: all of it is the beginning
    assert lance.num_bytes == pytest.approx(10 * ROWS)
    assert said.cautions[0].startswith("exact: a sample holds few of a list's repeats")
    assert said.cautions[1] == "not in these figures: pretrain"


def test_chunks_that_fill_no_batch_of_a_gpu_are_said(plan: Plan) -> None:
    said = local(plan, measured(sizes=[8, 16, 24, 8]))
    assert said.cautions == []
    on_gpu = predict(
        measured(sizes=[8, 16, 24, 8], gpus=1, device="a GPU"),
        *(plan, EngineConfig(), Cluster(4, 1), Prices()),
    )
    assert on_gpu.cautions[0].startswith("f: the sample's largest chunk of 24 rows fills no batch")


def test_a_cpu_that_stands_for_gpus_is_said(plan: Plan) -> None:
    said = predict(measured(), plan, EngineConfig(kind="ray"), Cluster(8, 4), Prices())
    assert said.cautions[0].startswith("measured on a CPU")
