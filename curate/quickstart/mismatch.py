"""Which description certainly does not fit a picture.

A planted mismatch must be one: a text of another picture that happens to fit would count a right
decision as an error. So a text is taken only where it shares no content word with the picture's own
description and speaks of another theme.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from curate.quickstart.pictures import Picture

_FILLER = (
    "a an the our some of in on at with and or is are it its to by for from this that "
    "two pair very small little large big old young most one"
)
_WORDLESS = frozenset(_FILLER.split())

#: Themes whose pictures may show the same thing: an eggplant is a plant and food, a bunny is an
#: animal and sits among the Easter pictures.
_OVERLAPPING = frozenset(
    frozenset(pair)
    for pair in (
        ("animals", "seasonal"),
        ("animals", "town"),  # a totem pole, a farm
        ("clothes", "military"),
        ("clothes", "people"),
        ("clothes", "seasonal"),
        ("food", "plants"),
        ("food", "seasonal"),
        ("household", "medical"),
        ("household", "seasonal"),
        ("household", "town"),
        ("military", "people"),
        ("military", "vehicles"),
        ("people", "seasonal"),
        ("plants", "seasonal"),
        ("town", "vehicles"),
        ("town", "seasonal"),
    )
)

_OVERLAPPING_ANIMALS = frozenset(
    {frozenset(("mammals", "marsupials")), frozenset(("fish", "shellfish"))}
)


def content_words(text: str) -> frozenset[str]:
    """Return a text's words without filler, plurals cut, so that ``flowers`` meets ``flower``."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    return frozenset(re.sub(r"(?<=\w{3})s$", "", word) for word in words if word not in _WORDLESS)


def may_fit(other: Picture, picture: Picture) -> bool:
    """Tell whether another picture's description might be true of a picture."""
    if content_words(other.text) & content_words(picture.text):
        return True
    one, two = other.theme, picture.theme
    if one[0] == two[0] == "animals":
        return one[1] == two[1] or frozenset((one[1], two[1])) in _OVERLAPPING_ANIMALS
    return one[0] == two[0] or frozenset((one[0], two[0])) in _OVERLAPPING


def mismatched_texts(
    pictures: Sequence[Picture], donors: Sequence[Picture], random: Random
) -> list[Picture]:
    """Choose, for each picture, another one whose description certainly does not fit.

    Args:
        pictures: who gets a wrong text.
        donors: whose texts may be taken, each once at most.
        random: decides among those that do not fit.

    Returns:
        A donor per picture, in order.

    Raises:
        ValueError: the donors run out.
    """
    left = list(donors)
    random.shuffle(left)
    chosen = []
    for picture in pictures:
        donor = next((one for one in left if not may_fit(one, picture)), None)
        if donor is None:
            raise ValueError(f"no text left that does not fit {picture.file}: give more donors")
        left.remove(donor)
        chosen.append(donor)
    return chosen
