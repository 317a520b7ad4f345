"""Arrays by name, on a disk or in memory: what is dear to compute is computed once.

On a disk a part is two files: ``X.npy`` holds the arrays of some names, one after the other, and
``X.json``, written last, says whose they are. Parts never change, so many processes read and add at
the same time; at worst two of them compute the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate.core.atomic import child_names, damaged, read_json, write_json, write_whole

Array = np.ndarray[Any, Any]


class KeptArrays:
    """Arrays of one shape and type by name; a name may also be known to have none."""

    def __init__(self, folder: Path | None) -> None:
        """Open what is there.

        Args:
            folder: where the parts are, or will be; None keeps them in memory.

        Raises:
            StoreError: a part's list of names is damaged.
        """
        self._folder = folder
        self._parts: dict[str, Array] = {}
        self._place: dict[str, tuple[str, int] | None] = {}
        for file in child_names(folder) if folder is not None else ():
            if folder is not None and file.endswith(".json") and not file.startswith("."):
                self._register(file.removesuffix(".json"), read_json(folder / file))

    def __contains__(self, name: str) -> bool:
        """Whether the name is known, be it to have none."""
        return name in self._place

    def has(self, name: str) -> bool:
        """Whether there is an array of this name."""
        return self._place.get(name) is not None

    def __getitem__(self, name: str) -> Array:
        """Return an array, mapped from its file where it has one.

        Raises:
            KeyError: there is none.
            StoreError: its file is damaged or gone.
        """
        place = self._place[name]
        if place is None:
            raise KeyError(name)
        part, row = place
        found: Array = self._part(part)[row]
        return found

    def add(self, names: Sequence[str], arrays: Array, *, without: Sequence[str] = ()) -> None:
        """Keep the arrays of some names.

        Args:
            names: of the arrays, in their order.
            arrays: [len(names), ...].
            without: names that have none.

        Raises:
            StorageFull: no room left.
            StoreError: no permission.
        """
        assert len(names) == len(arrays)
        said = {"names": list(names), "without": list(without)}
        part = hashlib.blake2b("\0".join([*names, "", *without]).encode(), digest_size=12)
        label = part.hexdigest()
        if self._folder is None:
            self._parts[label] = arrays
        else:
            write_whole(self._folder / f"{label}.npy", lambda file: np.save(file, arrays))
            write_json(self._folder / f"{label}.json", said)
        self._register(label, said)

    def _register(self, part: str, said: dict[str, list[str]]) -> None:
        self._place |= dict.fromkeys(said["without"])
        self._place |= {name: (part, row) for row, name in enumerate(said["names"])}

    def _part(self, part: str) -> Array:
        if part not in self._parts:
            assert self._folder is not None
            path = self._folder / f"{part}.npy"
            try:
                self._parts[part] = np.load(path, mmap_mode="r")
            except (OSError, EOFError, ValueError) as error:
                raise damaged(path, error, remove=self._folder) from error
        return self._parts[part]
