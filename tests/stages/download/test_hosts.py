from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from curate.stages.download._hosts import HostDown, Hosts, Manners, Turn
from curate.stages.download._pace import Pace


def _manners(**changes: Any) -> Manners:
    base = {"per_host": 2, "interval_s": 0.0, "max_wait_s": 5.0, "failures": 3, "pause_s": 0.1}
    return Manners(**{**base, **changes})


async def _visit(hosts: Hosts, pace: Pace, name: str = "a.test") -> None:
    async with Turn(hosts, pace) as turn:
        await turn.at(name)


def test_a_host_that_only_fails_is_left_alone_then_tried_by_one() -> None:
    async def play() -> None:
        hosts, pace = Hosts(_manners()), Pace(10)
        host, manners = hosts.get("a.test"), hosts.manners
        for _ in range(2):
            host.failed("timeout", manners)
            await _visit(hosts, pace)
        host.failed("timeout", manners)
        with pytest.raises(HostDown, match="last 3 rows failed, now with timeout") as down:
            await _visit(hosts, pace)
        assert down.value.reason == "host_down"
        await asyncio.sleep(0.12)
        turn = Turn(hosts, pace)
        await turn.at("a.test")
        others = [asyncio.create_task(_visit(hosts, pace)) for _ in range(5)]
        await asyncio.sleep(0.02)
        assert not any(other.done() for other in others)
        host.answered()
        turn.leave_host()
        await asyncio.wait_for(asyncio.gather(*others), 2)
        host.failed("timeout", manners)
        await _visit(hosts, pace)

    asyncio.run(play())


def test_when_the_one_fails_too_the_others_are_refused() -> None:
    async def play() -> None:
        hosts, pace = Hosts(_manners(failures=1)), Pace(10)
        host = hosts.get("a.test")
        host.failed("connect", hosts.manners)
        await asyncio.sleep(0.12)
        turn = Turn(hosts, pace)
        await turn.at("a.test")
        others = [asyncio.create_task(_visit(hosts, pace)) for _ in range(5)]
        await asyncio.sleep(0.02)
        host.failed("connect", hosts.manners)
        turn.leave_host()
        ends = await asyncio.gather(*others, return_exceptions=True)
        assert [type(end) for end in ends] == [HostDown] * 5
        assert host.users == 0

    asyncio.run(play())


def test_zero_failures_means_never() -> None:
    async def play() -> None:
        hosts = Hosts(_manners(failures=0))
        for _ in range(100):
            hosts.get("a.test").failed("connect", hosts.manners)
        await _visit(hosts, Pace(1))

    asyncio.run(play())


def test_turns_keep_the_rate_and_refuse_those_that_come_too_late() -> None:
    async def play() -> None:
        hosts, pace = Hosts(_manners(interval_s=0.1, max_wait_s=0.35)), Pace(10)
        begun, starts, late = time.monotonic(), [], 0

        async def one() -> None:
            nonlocal late
            try:
                async with Turn(hosts, pace) as turn:
                    await turn.at("a.test")
                    starts.append(time.monotonic() - begun)
            except HostDown as error:
                assert error.reason == "host_busy"
                late += 1

        await asyncio.gather(*(one() for _ in range(6)))
        assert (len(starts), late) == (4, 2)
        assert all(at >= 0.1 * i - 0.02 for i, at in enumerate(sorted(starts)))
        assert hosts.get("a.test").users == 0

    asyncio.run(play())


def test_a_turn_gives_its_places_back_even_when_cancelled() -> None:
    async def play() -> None:
        hosts, pace = Hosts(_manners(per_host=1)), Pace(1)

        async def hold(event: asyncio.Event) -> None:
            async with Turn(hosts, pace) as turn:
                await turn.at("a.test")
                await event.wait()

        event = asyncio.Event()
        tasks = [asyncio.create_task(hold(event)) for _ in range(4)]
        await asyncio.sleep(0.02)
        for task in tasks[:3]:
            task.cancel()
        await asyncio.gather(*tasks[:3], return_exceptions=True)
        event.set()
        await asyncio.wait_for(tasks[3], 2)
        await asyncio.wait_for(hold(event), 2)
        assert hosts.get("a.test").users == 0

    asyncio.run(play())


def test_waiting_for_a_slow_host_takes_no_place_from_the_others() -> None:
    async def play() -> None:
        hosts, pace = Hosts(_manners(interval_s=1.0)), Pace(1)
        slow = [asyncio.create_task(_visit(hosts, pace, "slow.test")) for _ in range(3)]
        await asyncio.sleep(0.02)
        await asyncio.wait_for(_visit(hosts, pace, "fast.test"), 0.5)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(play())


def test_hosts_long_out_of_use_are_forgotten() -> None:
    async def play() -> None:
        hosts = Hosts(_manners(), most=16)
        used = hosts.get("used.test")
        used.users = 1
        for number in range(1000):
            hosts.get(f"{number}.test")
        assert len(hosts) <= 19
        assert hosts.get("used.test") is used

    asyncio.run(play())


def test_hosts_with_long_rules_are_forgotten_sooner() -> None:
    async def play() -> None:
        hosts = Hosts(_manners(), most=1000)
        for number in range(100):
            hosts.remember(hosts.get(f"{number}.test"), 20_000)
        assert 2 <= len(hosts) <= 26
        assert hosts.get("99.test").weight == 20_000

    asyncio.run(play())


def test_pace_narrows_while_many_hosts_time_out_and_widens_again() -> None:
    pace = Pace(64)
    for i in range(32):
        pace.judge(f"{i}.test", timed_out=i % 3 == 0)
    assert (pace.width, pace.narrowed) == (44, 1)
    for _ in range(50):
        for i in range(32):
            pace.judge(f"{i}.test", timed_out=True)
    assert pace.width == 4
    for _ in range(50):
        for _ in range(32):
            pace.judge("a.test", timed_out=False)
    assert pace.width == 64


def test_one_slow_host_does_not_narrow_the_pace() -> None:
    pace = Pace(64)
    for _ in range(320):
        pace.judge("slow.test", timed_out=True)
    assert (pace.width, pace.narrowed) == (64, 0)
