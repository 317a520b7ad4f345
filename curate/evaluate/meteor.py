"""METEOR 1.5, as COCO's evaluation calls it: words match as they are, by stem, or as synonyms.

The program is a Java archive that comes with pycocoevalcap; of each caption it gives numbers that
add up over captions, and of sums the score.

Source: Denkowski and Lavie 2014, "Meteor Universal"; https://www.cs.cmu.edu/~alavie/METEOR/.

Shapes: I images, R resamplings, K numbers of a caption.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from curate.evaluate.caption_words import package_folder
from curate.evaluate.intervals import Floats
from curate.evaluate.java import Dialogue, Java

_BAR = "|||"


@dataclass(frozen=True, eq=False)
class Meteor:
    """METEOR of the captions it was opened with.

    Attributes:
        numbers: [I, K], of each caption; they add up.
    """

    numbers: Floats
    _talk: Dialogue

    def of_sets(self, weights_RI: Floats) -> dict[str, Floats]:
        """Return ``meteor`` of sets drawn from the images."""
        return {"meteor": np.array([self._score(one) for one in weights_RI @ self.numbers])}

    def _score(self, numbers_K: Floats) -> float:
        said = " ".join(f"{number:.1f}" for number in numbers_K)
        self._talk.ask(f"EVAL {_BAR} {said}")  # of the one segment, and then of all of them
        return float(self._talk.listen())


@contextlib.contextmanager
def meteor(
    java: Java, captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> Iterator[Meteor]:
    """Score captions, in words; the program runs as long as the block does.

    Raises:
        JavaFault: the program failed or took too long.
        CurateError: pycocoevalcap is not installed.
    """
    jar = package_folder() / "meteor" / "meteor-1.5.jar"
    with Dialogue(
        java, ["-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
    ) as talk:
        rows = [
            talk.ask(f" {_BAR} ".join(["SCORE", *map(_plain, texts), _plain(caption)]))
            for caption, texts in zip(captions, references, strict=True)
        ]
        yield Meteor(np.array([[float(n) for n in row.split()] for row in rows]), talk)


def _plain(some: Sequence[str]) -> str:
    """Return a text in which nothing is taken for the end of it."""
    return " ".join(some).replace(_BAR, "")
