from __future__ import annotations

import subprocess
import sys
import time

from curate.core.processes import lives, this_process


def test_this_process_lives_and_one_of_the_same_number_from_another_time_does_not() -> None:
    mine = this_process()
    assert lives(mine) is True
    assert lives({**mine, "started": "1"}) is False


def test_of_another_machine_nothing_is_known() -> None:
    assert lives({**this_process(), "host": "elsewhere"}) is None
    assert lives({}) is None


def test_one_that_is_dead_and_not_yet_asked_after_does_not_live() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        said = {**this_process(), "pid": other.pid, "started": None}
        while lives(said):
            time.sleep(0.01)
        assert other.returncode is None  # nobody has waited for it
    assert lives(said) is False
