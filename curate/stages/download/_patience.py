"""How often and after which pause a request is tried again."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Further attempts after the first, each after twice the pause.

    Attributes:
        retries: further attempts.
        backoff_s: seconds before the first of them, give or take a half.
    """

    retries: int
    backoff_s: float

    async def pause(self, attempt: int) -> None:
        """Wait before an attempt; the first, number 0, begins at once."""
        if attempt:
            # Jitter is politeness, not secrecy.
            jitter = random.uniform(0.5, 1.5)
            await asyncio.sleep(self.backoff_s * 2 ** (attempt - 1) * jitter)
