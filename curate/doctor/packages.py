"""Python, the packages curate needs, and the set it was tested with."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from curate.doctor.findings import Finding

_TESTED = Path(__file__).parents[1] / "assets" / "tested" / "constraints.txt"
_LINE = re.compile(r"([A-Za-z0-9._-]+)==(\S+)")
#: What each extra is for.
EXTRAS = {
    "s3": "runs and lists on an object store",
    "vllm": "the captioner 'vllm'",
    "siglip": "SigLIP's tokenizer",
    "evaluate": "CIDEr, BLEU, METEOR and SPICE of captions",
    "validate": "reading exports back with Hugging Face 'datasets'",
    "notebooks": "the notebooks and their plots",
    "tensorboard": "a trainer's curves in TensorBoard",
    "browser": "tests of pages in a browser",
}


def check_packages() -> Iterator[Finding]:
    """Look at Python and the packages that curate needs, against their ranges."""
    wanted = SpecifierSet(metadata("curate")["Requires-Python"] or "")
    python = platform.python_version()
    yield Finding(
        "packages",
        "python",
        "ok" if wanted.contains(python) else "missing",
        f"{python}; {wanted} is needed",
        "" if wanted.contains(python) else "install curate with such a Python",
        required=True,
    )
    tested, fine, differing = tested_versions(), 0, []
    for requirement in required():
        found = installed(requirement.name)
        if not _met(requirement, found):
            yield _lacking(requirement, found, tested)
            continue
        fine += 1
        assert found is not None
        known = tested.get(_plain(requirement.name), found)
        if _base(known) != _base(found):
            differing.append(f"{requirement.name} {found} (tested: {known})")
    says = f"{fine} packages within their ranges"
    if differing:
        says += f"; of other versions than the tested set: {', '.join(differing)}"
    mend = "for the tested set: pip install -c constraints.txt -e ." if differing else ""
    yield Finding("packages", "ranges", "ok", says, mend, required=True)


def check_extras() -> Iterator[Finding]:
    """Look at the packages of the optional extras."""
    known = metadata("curate").get_all("Provides-Extra") or []
    for name, purpose in EXTRAS.items():
        if name not in known:  # installed before there was such an extra
            continue
        lacking = missing_of(name)
        yield Finding(
            "optional",
            f"curate[{name}]",
            "missing" if lacking else "ok",
            f"{purpose}; " + (f"lacks {', '.join(lacking)}" if lacking else "there"),
            f"pip install 'curate[{name}]'" if lacking else "",
        )


def missing_of(extra: str) -> list[str]:
    """Return the requirements of an extra that are not met."""
    always = required()
    own = [one for one in map(Requirement, requires("curate") or []) if one not in always]
    return [
        f"{one.name}{one.specifier}"
        for one in own
        if one.marker is not None
        and one.marker.evaluate({"extra": extra})
        and not _met(one, installed(one.name))
    ]


def required() -> list[Requirement]:
    """Return what curate needs on this machine, extras left out."""
    every = map(Requirement, requires("curate") or [])
    return [one for one in every if one.marker is None or one.marker.evaluate({"extra": ""})]


def _met(requirement: Requirement, found: str | None) -> bool:
    return found is not None and requirement.specifier.contains(found, prereleases=True)


def installed(name: str) -> str | None:
    """Return a package's version, or None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def tested_versions() -> Mapping[str, str]:
    """Return the versions this curate was tested with, by plain name."""
    lines = _TESTED.read_text(encoding="utf-8").splitlines()
    return {_plain(match[1]): match[2] for line in lines if (match := _LINE.match(line))}


def _lacking(requirement: Requirement, found: str | None, tested: Mapping[str, str]) -> Finding:
    name = requirement.name
    says = "is not installed" if found is None else f"{found} is outside its range"
    known = tested.get(_plain(name))
    wanted = f"{name}=={known}" if known else f"{name}{requirement.specifier}"
    return Finding(
        "packages",
        name,
        "missing",
        f"{says}; {requirement.specifier or 'any version'} is needed",
        f"pip install '{wanted}'",
        required=True,
    )


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _base(number: str) -> str:
    """Return a version without its build: ``2.13.0+cpu`` is ``2.13.0``."""
    return number.partition("+")[0]
