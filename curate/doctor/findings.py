"""What a check says: a line for people, plain values for scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: what it belongs to: ``packages``, ``devices``, ``machine``, ``ray``, ``optional``,
            ``network`` or ``recipe``.
        name: what was looked at.
        state: ``ok``; ``warning``: it works, worse than it could; ``missing``: it is not there.
        says: what was found, and what that means.
        mend: how to mend it; empty where nothing is to be done.
        required: whether curate, or the recipe that was given, cannot do without it.
    """

    area: str
    name: str
    state: State
    says: str
    mend: str = ""
    required: bool = False

    @property
    def fatal(self) -> bool:
        """Whether something required is missing."""
        return self.state == "missing" and self.required
