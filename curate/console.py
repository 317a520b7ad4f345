"""The console that commands print on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(as_json: bool) -> Console:
    """Return a console: standard output for people, standard error beside JSON for scripts."""
    from rich.console import Console

    # no markup: paths, names and errors are printed as they are, brackets included
    return Console(stderr=as_json, soft_wrap=True, markup=False, emoji=False)
