"""The compiled part of the package; everything else stands in ``pyproject.toml``."""

from __future__ import annotations

import platform
import sys

from setuptools import Extension, setup

# OpenCV's own build for other processors may fuse products and sums: pixels could differ there.
_X86 = platform.machine() in ("x86_64", "AMD64")

_AREA = Extension(
    "curate.images._area",
    ["curate/images/_area.c"],
    extra_compile_args=["-O3", "-ffp-contract=off"] if sys.platform != "win32" else [],
    py_limited_api=True,
    # Without a compiler OpenCV shrinks the pictures: to the same pixels, more slowly.
    optional=True,
)

setup(
    ext_modules=[_AREA] if _X86 else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
