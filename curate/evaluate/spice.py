"""SPICE: the objects, attributes and relations that a caption shares with its references.

The program comes with pycocoevalcap, the parser it stands on does not: Stanford CoreNLP 3.6.0, half
a gigabyte, which has to be fetched once.

Source: Anderson et al. 2016, "SPICE" (https://arxiv.org/abs/1607.08822).

Shapes: I images, R resamplings.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.evaluate.caption_words import package_folder
from curate.evaluate.intervals import Floats, weighted_mean
from curate.evaluate.java import Java, JavaFault

_PARSER = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")


@dataclass(frozen=True, eq=False)
class Spice:
    """SPICE of every caption.

    Attributes:
        scores: [I], F1 of what each caption says; NaN where nothing is said at all.
    """

    scores: Floats

    def of_sets(self, weights_RI: Floats) -> dict[str, Floats]:
        """Return ``spice`` of sets drawn from the images."""
        known = np.flatnonzero(~np.isnan(self.scores))
        return {"spice": weighted_mean(self.scores[known], known, weights_RI)}


def spice(java: Java, captions: Sequence[str], references: Sequence[Sequence[str]]) -> Spice:
    """Score captions; it takes 8 GB of memory and some minutes for a thousand.

    Raises:
        JavaFault: the parser is not there; the program failed or took too long.
        CurateError: pycocoevalcap is not installed.
    """
    folder = package_folder() / "spice"
    missing = [name for name in _PARSER if not (folder / "lib" / name).is_file()]
    if missing:
        raise JavaFault(
            f"needs {' and '.join(missing)} in {folder / 'lib'}: where there is a network, "
            "'python -m pycocoevalcap.spice.get_stanford_models' fetches them (400 MB)"
        )
    asked = [
        {"image_id": number, "test": caption, "refs": list(texts)}
        for number, (caption, texts) in enumerate(zip(captions, references, strict=True))
    ]
    with tempfile.TemporaryDirectory(prefix="curate-spice-") as name:
        given, found = Path(name, "given.json"), Path(name, "found.json")
        given.write_text(json.dumps(asked), encoding="utf-8")
        jar = str(folder / "spice-1.0.jar")
        java.run(["-Xmx8G", "-jar", jar, str(given), "-out", str(found), "-silent"])
        told = json.loads(found.read_text(encoding="utf-8"))
    scores_I = np.full(len(captions), np.nan)
    for one in told:
        value = one["scores"]["All"]["f"]
        scores_I[one["image_id"]] = np.nan if value is None else float(value)
    return Spice(scores_I)
