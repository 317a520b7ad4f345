"""The pictures that curate ships, with their descriptions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from curate.core.errors import SourceError

#: curate/assets/quickstart: pictures/, captions.jsonl, LICENSE and NOTICE.
ASSETS = Path(__file__).resolve().parents[1] / "assets" / "quickstart"


@dataclass(frozen=True, slots=True)
class Picture:
    """A shipped picture.

    Attributes:
        file: name under ``pictures/``.
        text: its description, by people.
        source: path of the original, whose folders say what it shows: ``animals/birds/owl.png``.
        kind: ``photograph`` or ``drawing``.
        path: where the JPEG lies.
    """

    file: str
    text: str
    source: str
    kind: str
    path: Path

    @property
    def theme(self) -> tuple[str, str]:
        """The two outermost folders of the original: ``("animals", "birds")``."""
        folders = self.source.split("/")[:-1]
        return folders[0], folders[1] if len(folders) > 1 else ""


def shipped_pictures(assets: Path = ASSETS) -> list[Picture]:
    """Return the shipped pictures in the order of captions.jsonl.

    Raises:
        SourceError: the folder is missing or incomplete, as in a damaged installation.
    """
    captions = assets / "captions.jsonl"
    try:
        entries = [json.loads(line) for line in captions.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{captions} cannot be read ({error}): the quickstart's pictures are part of curate, "
            "install it again"
        ) from error
    return [
        Picture(**{**entry, "file": Path(entry["file"]).name}, path=assets / entry["file"])
        for entry in entries
    ]
