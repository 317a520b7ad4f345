"""Captions to words: by the official tokenizer where there is a Java, else by our own.

The official one is the Penn Treebank tokenizer of Stanford CoreNLP 3.4.1, lower-cased and without
punctuation, as COCO's evaluation has it (Chen et al. 2015, https://arxiv.org/abs/1504.00325,
section 3.2). Ours needs no Java and splits at every character that is no letter or digit, so it
takes `well-known` for two words; figures of the two differ in the second decimal or so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from curate.core.errors import CurateError
from curate.evaluate.java import Java, JavaFault

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def words(text: str) -> list[str]:
    """Split a text into lower-case words; punctuation is dropped.

    Example:
        >>> words("A dog's ball, thrown!")
        ['a', "dog's", 'ball', 'thrown']
    """
    return _WORD.findall(text.lower())


def treebank_words(java: Java, texts: Sequence[str]) -> list[list[str]]:
    """Split texts into words as COCO's evaluation does.

    Raises:
        JavaFault: the tokenizer failed.
        CurateError: pycocoevalcap is not installed.
    """
    jar = package_folder() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS

    # one text a line: whatever else breaks a line in some alphabet is a space
    lines = [" ".join(text.split()) for text in texts]
    told = java.run(
        [
            *("-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"),
            *("-preserveLines", "-lowerCase", "-encoding", "utf-8"),
        ],
        "".join(f"{line}\n" for line in lines),
    )
    found = told.split("\n")[: len(lines)]
    if len(found) < len(lines):
        raise JavaFault(f"the tokenizer gave {len(found)} lines for {len(lines)} texts")
    dropped = frozenset(PUNCTUATIONS)
    return [[word for word in line.split() if word not in dropped] for line in found]


def package_folder() -> Path:
    """Return where pycocoevalcap is.

    Raises:
        CurateError: it is not installed.
    """
    try:
        import pycocoevalcap
    except ImportError as error:
        raise CurateError(
            "captions are scored by pycocoevalcap: pip install 'curate[evaluate]'"
        ) from error
    return Path(next(iter(pycocoevalcap.__path__)))
