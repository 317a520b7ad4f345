"""Degenerate captions: without a word, or one phrase over and over.

Sampling and search both fall into loops at times ("neural text degeneration": Holtzman et al. 2019,
https://arxiv.org/abs/1904.09751, section 3). The usual rules count repeated n-grams anywhere in a
document (Rae et al. 2021, https://arxiv.org/abs/2112.11446, table A1). A caption has a dozen words
and may well repeat some: in "a black and white photo of a black and white cat" the commonest
3-gram makes up half of the words. What sets a loop apart is that its copies follow each other, so
the measure here is the share of a text that only says again what stands right before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Reason of a caption without a word in it.
EMPTY_CAPTION = "empty_caption"
#: Reason of a caption that is a loop for the most part.
REPETITIVE_CAPTION = "repetitive_caption"

#: A caption is a loop when at least so much of it repeats what stands right before it.
_MOST_REPEATED = 0.5
#: Three words said twice running are a loop; one or two are not ("bora bora", "new york new york").
_SHORT_PHRASE, _COPIES_OF_SHORT, _COPIES_OF_LONG = 2, 3, 2
#: Texts of so many words with so few different ones are loops that do not keep time.
_SHUFFLED_WORDS, _LEAST_DISTINCT = 9, 1 / 3
#: Longest loops looked for, words and characters.
_LONGEST_PHRASE, _LONGEST_SYLLABLE = 40, 16

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def degeneration(text: str) -> str | None:
    """Return the reason why a caption is degenerate, or None.

    A caption is repetitive when

    - at least half of its words belong to copies of the phrase right before them: three copies at
      least of one or two words, two of a longer phrase;
    - or it has nine words or more and less than a third of them are different;
    - or the same holds of its characters, three copies at least: "hahaha", and scripts that are
      written without spaces.

    Example:
        >>> degeneration("a dog with a dog with a dog"), degeneration(" ...")
        ('repetitive_caption', 'empty_caption')
        >>> degeneration("a black and white photo of a black and white cat") is None
        True
    """
    words = _WORD.findall(text.casefold())
    if not words:
        return EMPTY_CAPTION
    if (
        repeated_share(words, longest=_LONGEST_PHRASE) >= _MOST_REPEATED
        or (len(words) >= _SHUFFLED_WORDS and len(set(words)) < len(words) * _LEAST_DISTINCT)
        or _repeated_letters("".join(words)) >= _MOST_REPEATED
    ):
        return REPETITIVE_CAPTION
    return None


def repeated_share(units: Sequence[str], *, longest: int) -> float:
    """Return the largest share of units that only repeat the phrase right before them, in [0, 1).

    A loop of period p over L units has L - p units that were said before. Of every period up to
    ``longest`` the longest loop counts: those of one or two units with three copies or more, those
    of longer phrases with two.

    Example:
        >>> repeated_share(["dai", "dai", "dai", "dai"], longest=40)
        0.75
    """
    most = 0
    for period in range(1, min(longest, len(units) // 2) + 1):
        copies = _COPIES_OF_SHORT if period <= _SHORT_PHRASE else _COPIES_OF_LONG
        again = _longest_echo(units, period)
        if again >= period * (copies - 1):
            most = max(most, again)
    return most / len(units) if units else 0.0


def _repeated_letters(letters: str) -> float:
    """Return the share of characters in loops of three copies or more."""
    echoes = (
        (period, _longest_echo(letters, period))
        for period in range(1, min(_LONGEST_SYLLABLE, len(letters) // 3) + 1)
    )
    return max((again for period, again in echoes if again >= 2 * period), default=0) / len(letters)


def _longest_echo(units: Sequence[str], period: int) -> int:
    """Return the longest stretch of units equal to those ``period`` before them."""
    longest = stretch = 0
    for before, after in zip(units, units[period:], strict=False):
        stretch = stretch + 1 if before == after else 0
        longest = max(longest, stretch)
    return longest
