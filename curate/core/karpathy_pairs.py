"""Annotation files of retrieval and captioning benchmarks as pairs, read by number.

Two forms, told apart by what is in them:

- Karpathy and Fei-Fei's splits of COCO, Flickr30k and Flickr8k (``dataset_coco.json``): one object
  with ``images``, each with ``filename``, ``filepath`` where there are folders, ``split`` and
  ``sentences`` (https://cs.stanford.edu/people/karpathy/deepimagesent/; Karpathy and Fei-Fei 2015,
  https://arxiv.org/abs/1412.2306).
- BLIP's lists (``coco_karpathy_test.json``, ``flickr30k_train.json``): a list of objects with
  ``image`` and ``caption``, a text or several; a split a file
  (https://github.com/salesforce/BLIP).

Pictures are read when they are asked for, and looked for at once: a file that is not there is an
error before any work is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from curate.core.atomic import read_bytes
from curate.core.errors import SourceError, nearest
from curate.core.location import StorePath, matching, store_path
from curate.core.pairs import Pair, TableConfig

#: Split -> those of the file that it means. COCO's ``restval`` is what its validation set has left
#: beside ``val`` and ``test``; all who report on ``test`` train on it.
_MEANS = {"train": ("train", "restval")}
_NAMED = 3


class KarpathySource:
    """The pictures of annotation files, in order; a ``PairSource``.

    Raises:
        SourceError: no file, one of another form, an unknown split, missing pictures, or options
            that such files have no use for.
    """

    def __init__(self, config: TableConfig) -> None:
        """Read the annotations, and look whether their pictures are there.

        Args:
            config: ``path`` names the files, ``images`` the folder of the pictures (the file's own
                when None), ``split`` which of Karpathy's.
        """
        idle = config.model_fields_set & {"image", "captions", "uid", "sources", "scores"}
        if idle:
            raise SourceError(
                f"{config.path}: an annotation file has no columns: leave out "
                f"{', '.join(sorted(idle))}"
            )
        paths = matching(config.path)
        if not paths:
            raise SourceError(
                f"{config.path}: there is no such file; paths start at the working folder"
            )
        found: list[tuple[StorePath, str, list[str]]] = []
        for path in paths:
            folder = path.parent if config.images is None else store_path(config.images)
            texts = _texts(path, config.split)
            _check_there(path, folder, texts)
            found += [(folder / name, name, said) for name, said in texts.items() if said]
        self._entries = found * config.repeat

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, indices: Sequence[int]) -> list[Pair]:
        """Return the pictures of these numbers, in this order.

        Raises:
            SourceError: one was taken away since the annotations were read.
        """
        return [_pair(*self._entries[index]) for index in indices]

    def read_texts(self, indices: Sequence[int]) -> list[Pair]:
        """Return what ``read`` does, without the pictures; none is opened."""
        entries = [self._entries[index] for index in indices]
        return [Pair(name, b"", texts) for _, name, texts in entries]

    def texts(self) -> Iterator[str]:
        """Yield every text once, in order."""
        for _, _, texts in self._entries:
            yield from texts

    def num_texts(self) -> list[int]:
        """Return the number of texts of every picture."""
        return [len(texts) for _, _, texts in self._entries]

    def best_scores(self) -> list[float | None]:
        """Return None for every picture: people's texts have no scores."""
        return [None] * len(self._entries)


def _pair(path: StorePath, name: str, texts: list[str]) -> Pair:
    try:
        return Pair(name, read_bytes(path), texts)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error


def _texts(path: StorePath, split: str | None) -> dict[str, list[str]]:
    """Return the texts of every picture by its name below the folder."""
    try:
        content = json.loads(read_bytes(path))
        if isinstance(content, dict) and isinstance(content.get("images"), list):
            return _of_karpathy(path, content["images"], split)
        if isinstance(content, list) and content:
            return _of_blip(path, content, split)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read as JSON: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{path}: an entry lacks or misuses {error}") from error
    raise SourceError(
        f"{path} is neither Karpathy's annotations (an object with 'images') nor BLIP's (a list of "
        "objects with 'image' and 'caption'); a table may be Parquet, Arrow or JSONL"
    )


def _of_karpathy(path: StorePath, images: list[Any], split: str | None) -> dict[str, list[str]]:
    there = sorted({str(image["split"]) for image in images})
    if split is None:
        raise SourceError(f"{path} holds the splits {', '.join(there)}: say which (split, --split)")
    wanted = _MEANS.get(split, (split,))
    if not set(wanted) & set(there):
        raise SourceError(f"{path} has no split {split!r}: {nearest(split, there)}")
    found: dict[str, list[str]] = {}
    for image in images:
        if image["split"] in wanted:
            name = str(PurePosixPath(image.get("filepath") or "", image["filename"]))
            found[name] = _said([sentence["raw"] for sentence in image["sentences"]])
    return found


def _of_blip(path: StorePath, entries: list[Any], split: str | None) -> dict[str, list[str]]:
    if split is not None:
        raise SourceError(f"{path} is a list of one split: leave out split {split!r}")
    found: dict[str, list[str]] = {}
    for entry in entries:
        caption = entry["caption"]
        texts = _said([caption] if isinstance(caption, str) else caption)
        found.setdefault(str(PurePosixPath(entry["image"])), []).extend(texts)
    return found


def _said(texts: list[str]) -> list[str]:
    return [text.strip() for text in texts if text.strip()]


def _check_there(path: StorePath, folder: StorePath, texts: dict[str, list[str]]) -> None:
    """Refuse annotations whose pictures are not where they are looked for."""
    listed: dict[PurePosixPath, set[str]] = {}
    missing = []
    for name in texts:
        below, file = PurePosixPath(name).parent, PurePosixPath(name).name
        if below not in listed:
            listed[below] = _names(folder / str(below))
        if file not in listed[below]:
            missing.append(str(folder / name))
    if missing:
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        raise SourceError(
            f"{path} names pictures that are not there: {', '.join(missing[:_NAMED])}{more}; "
            "give their folder (images, --images)"
        )


def _names(folder: StorePath) -> set[str]:
    try:
        return {one.name for one in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
