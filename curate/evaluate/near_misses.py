"""Near misses: a caption made wrong by one word, which is what a filter finds hardest.

A noun, colour, number or doing is swapped for another of its group, so the sentence stays as
fluent and as long as it was; nothing but the picture says that it is wrong. FOIL does the same with
the categories of COCO (Shekhar et al. 2017, https://arxiv.org/abs/1705.01359).

A swap may by chance be true of the picture all the same ("a boy" for "a child"), so no model
reaches 1.0 on them.
"""

from __future__ import annotations

import re
from random import Random

#: Words that are swapped for another of their group: the text is then wrong by one word.
GROUPS = (
    ("dog", "cat", "horse", "bird", "cow"),
    ("dogs", "cats", "horses", "birds", "cows"),
    ("man", "woman", "boy", "girl", "child", "baby"),
    ("men", "women", "boys", "girls", "children", "babies"),
    ("red", "blue", "green", "yellow", "black", "white", "brown", "orange", "pink"),
    ("two", "three", "four", "five"),
    ("grass", "snow", "sand", "water", "street", "road", "mud"),
    ("ball", "frisbee", "stick", "bicycle", "bike", "skateboard", "surfboard", "kite"),
    ("running", "sitting", "sleeping", "swimming", "jumping", "climbing", "standing"),
    ("beach", "mountain", "forest", "city", "field", "park", "pool"),
)
_SWAPS = {word: [other for other in group if other != word] for group in GROUPS for word in group}


def near_miss(caption: str, random: Random) -> str | None:
    """Return the caption with one word of a group swapped for another, or None without one.

    Example:
        >>> near_miss("Two puppies.", Random(2))
        'Three puppies.'
    """
    words = re.split(r"(\W+)", caption)
    places = [i for i, word in enumerate(words) if word.lower() in _SWAPS]
    if not places:
        return None
    place = random.choice(places)
    swapped = random.choice(_SWAPS[words[place].lower()])
    words[place] = swapped.capitalize() if words[place][:1].isupper() else swapped
    return "".join(words)
