"""The faults that are planted: how many, and what a pipeline that works does with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NONE = "none"
MISMATCHED = "mismatched"
REPEATED_ROW = "repeated_row"
NEAR_DUPLICATE = "near_duplicate"

BOILERPLATE_TEXTS = (
    "Buy now! Free shipping on all orders over $50",
    "image",
    "We use cookies to make this site better. Accept all cookies?",
    "Click here to see the full size",
    "Sign up for our newsletter and save 10% on your first order",
    "Advertisement",
    "Share on Facebook, tweet, pin it, e-mail this page to a friend",
    "All rights reserved. Terms of use, privacy policy, imprint",
    "Add to cart - only 3 left in stock - order soon",
    "Loading, please wait...",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of planted row.

    Attributes:
        name: as the truth table calls it.
        count: rows of the list that have it.
        caught_when: ``row``: the row ends in the ledger; ``text``: the web text is not selected,
            with or without its row; ``never``: nothing is wrong that could be caught.
        meaning: in one line, for people.
    """

    name: str
    count: int
    caught_when: Literal["row", "text", "never"]
    meaning: str


#: Rows that are good or have a text of their own need a picture of their own, or they would be
#: duplicates: these six kinds together use each of the 256 shipped pictures once. With fewer
#: pictures there are fewer good rows.
OWN_PICTURE = (
    Fault(NONE, 160, "never", "a picture with its own description"),
    Fault(MISMATCHED, 72, "text", "the description of another picture"),
    Fault("boilerplate", 10, "text", "words of the page, not of the picture"),
    Fault("file_name", 8, "text", "a camera's file name as text"),
    Fault("empty_text", 3, "never", "an empty text: a row without a web text"),
    Fault("null_text", 3, "never", "no text at all: a row without a web text"),
)

DEAD = (
    Fault("http_404", 12, "row", "not found"),
    Fault("http_410", 4, "row", "gone for good"),
    Fault("http_500", 4, "row", "the server fails"),
    Fault("connection_reset", 4, "row", "the server hangs up before it answers"),
    Fault("connection_refused", 4, "row", "nobody listens"),
    Fault("connection_cut", 4, "row", "the connection ends in mid-picture"),
    Fault("redirect_loop", 2, "row", "redirects that lead nowhere"),
    Fault("redirect_private", 2, "row", "a redirect into a private network"),
    Fault("opted_out", 4, "row", "the server's header forbids use for training"),
)

NO_PICTURE = (
    Fault("html", 8, "row", "a web page under a picture's name"),
    Fault("svg", 4, "row", "a vector drawing"),
    Fault("plain_text", 4, "row", "plain words"),
    Fault("truncated", 8, "row", "half of a file"),
    Fault("empty_body", 4, "row", "no bytes"),
    Fault("icon", 10, "row", "at most 48 pixels a side"),
    Fault("tracking_pixel", 6, "row", "one pixel"),
    Fault("banner", 8, "row", "six to ten times as wide as high"),
)

REPEATED = (
    Fault(REPEATED_ROW, 12, "row", "the same address and text once more"),
    Fault(NEAR_DUPLICATE, 24, "row", "the same picture elsewhere: resized, cropped, re-encoded"),
)

#: Good rows that are repeated somewhere else in the list.
REPEATABLE = sum(fault.count for fault in REPEATED)

FAULTS = {fault.name: fault for fault in (*OWN_PICTURE, *DEAD, *NO_PICTURE, *REPEATED)}
