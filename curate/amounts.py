"""Amounts as people read them: bytes, time."""

from __future__ import annotations


def size_text(count: float) -> str:
    """Return a number of bytes, in powers of a thousand: ``5.8 MB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 999.95:  # what is rounded up to a thousand is one of the next
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def time_text(seconds: float) -> str:
    """Return a time with two figures that matter: ``12 s``, ``3.4 min``, ``26 h``, ``3.1 days``."""
    if seconds < 90:
        return f"{_two_figures(seconds)} s"
    for unit, length, most in (("min", 60.0, 90.0), ("h", 3600.0, 48.0)):
        amount = seconds / length
        if amount < most:
            return f"{_two_figures(amount)} {unit}"
    return f"{seconds / 86_400:.1f} days"


def _two_figures(amount: float) -> str:
    return f"{amount:.1f}" if amount < 9.95 else f"{amount:.0f}"


def clock_text(seconds: float) -> str:
    """Return a time as a clock counts it: ``1:23``, ``1 h 01 min``."""
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
