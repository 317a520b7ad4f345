"""One undisturbed run, shared by all tests of kills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos import command
from tests.chaos.material import Web, write_material
from tests.chaos.outcome import check_alone, outcome
from tests.chaos.undisturbed import Undisturbed, run_traced


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    """Yield a run that nothing happened to."""
    tmp = tmp_path_factory.mktemp("undisturbed")
    command.finish(["--version"], tmp / "said")  # imports what every process finds in memory
    with Web(tmp / "web") as web:
        recipe = write_material(tmp, web.address)
        trace, seconds = run_traced(recipe, tmp / "run", tmp / "trace")
        found = outcome(tmp / "run")
        check_alone(tmp / "run", found)
        yield Undisturbed(web, recipe, found, tmp / "run", trace, seconds)
