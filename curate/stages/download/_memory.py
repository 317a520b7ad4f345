"""Keep freed memory for the next body instead of handing it back to the system each time."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_KEPT_BYTES = 64 << 20
_OWN_MAPPING_BYTES = 4 << 20


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MiB of freed memory in each of its arenas; elsewhere do nothing.

    Bodies and pictures of 0.1 to 4 MB come and go by the hundred a second. By default glibc gives
    such pieces back to the system at once and the system hands them out again page by page,
    zeroed: 3.7 ms of system time a picture with 64 requests in flight, 0.4 ms without.

    Source:
        https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING_BYTES)
