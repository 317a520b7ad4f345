"""Options that were given and would do nothing beside another one."""

from __future__ import annotations

from collections.abc import Collection

import click


def refuse_idle(names: Collection[str], why: str) -> None:
    """Refuse options of the command that runs now.

    Args:
        names: of its parameters.
        why: they would do nothing.

    Raises:
        click.UsageError: one of them was given.
    """
    context = click.get_current_context()
    for one in context.command.params:
        source = context.get_parameter_source(one.name or "")
        if one.name in names and source is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{one.opts[0]} has no effect: {why}")
