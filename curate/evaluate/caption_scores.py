"""CIDEr and BLEU-4 of captions, for any set drawn from the pictures.

CIDEr's word weights come from the whole set of references, also where a drawn set is scored.

Sources: Vedantam et al. 2015 (https://arxiv.org/abs/1411.5726), Papineni et al. 2002, both as
pycocoevalcap computes them.

Shapes: I images, R resamplings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.evaluate.caption_words import package_folder
from curate.evaluate.intervals import Floats

#: What BLEU as pycocoevalcap has it adds, so that nothing is divided by zero.
_TINY, _SMALL = 1e-15, 1e-9

Words = Sequence[str]


@dataclass(frozen=True, eq=False)
class CaptionScores:
    """What CIDEr and BLEU-4 are counted from.

    Attributes:
        cider: [I], CIDEr of each image's caption.
        lengths: [I, 2], words of each caption, and of the reference nearest in length.
        guesses: [I, 4], n-grams of each caption, n from 1.
        hits: [I, 4], those of them that are in a reference.
    """

    cider: Floats
    lengths: Floats
    guesses: Floats
    hits: Floats

    def of_sets(self, weights_RI: Floats) -> dict[str, Floats]:
        """Return ``cider`` and ``bleu4`` of sets drawn from the images."""
        cider_R = weights_RI @ self.cider / weights_RI.sum(1)
        written_R, wanted_R = (weights_RI @ self.lengths).T
        precisions_R4 = (weights_RI @ self.hits + _TINY) / (weights_RI @ self.guesses + _SMALL)
        ratio_R = (written_R + _TINY) / (wanted_R + _SMALL)
        brevity_R = np.exp(np.minimum(0.0, 1 - 1 / ratio_R))
        return {"cider": cider_R, "bleu4": precisions_R4.prod(1) ** 0.25 * brevity_R}


def caption_scores(
    captions: Sequence[Words], references: Sequence[Sequence[Words]]
) -> CaptionScores:
    """Score captions, in words, against several references each.

    Raises:
        CurateError: pycocoevalcap is not installed.
    """
    package_folder()
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    bleu, cider = BleuScorer(n=4), CiderScorer(n=4, sigma=6.0)
    for caption, texts in zip(captions, references, strict=True):
        both = " ".join(caption), [" ".join(text) for text in texts]
        bleu += both
        cider += both
    _, cider_I = cider.compute_score()
    counts = bleu.ctest
    wanted = [min(one["reflen"], key=lambda n: (abs(n - one["testlen"]), n)) for one in counts]
    return CaptionScores(
        cider=np.asarray(cider_I, np.float64),
        lengths=_floats([[one["testlen"], n] for one, n in zip(counts, wanted, strict=True)]),
        guesses=_floats([one["guess"] for one in counts]),
        hits=_floats([one["correct"] for one in counts]),
    )


def _floats(rows: list[list[int]]) -> NDArray[np.float64]:
    return np.asarray(rows, np.float64)
