"""Words that a person types, as a full-text query."""

from __future__ import annotations

import re
from typing import Any

from curate.core.errors import StoreError

_TERM = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')


def full_text_query(words: str, column: str) -> Any:
    """Return Lance's query for texts with all of the words; None where there are none.

    ``"two words"`` in double quotes is a phrase; ``-word`` must not occur.

    Raises:
        StoreError: only words that must not occur.
    """
    from lance.query import BooleanQuery, FullTextOperator, MatchQuery, Occur, PhraseQuery

    terms: list[Any] = []
    for no, phrase, word in _TERM.findall(words):
        occur = Occur.MUST_NOT if no else Occur.MUST
        if phrase:
            terms.append((occur, PhraseQuery(phrase, column)))
        elif word:
            terms.append((occur, MatchQuery(word, column, operator=FullTextOperator.AND)))
    if terms and all(occur is Occur.MUST_NOT for occur, _ in terms):
        raise StoreError(f"{words!r} says only what must not occur: add a word to look for")
    return BooleanQuery(terms) if terms else None
