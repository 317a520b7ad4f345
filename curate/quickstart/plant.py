"""A noisy web list made of the shipped pictures, and the truth about it.

The list has the two columns such lists have, ``URL`` and ``TEXT``, and nothing that gives the truth
away: hosts and paths are drawn without regard to what they hold. The truth is a table of its own.
One seed gives one list, byte for byte; the addresses do not depend on the server's port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import pyarrow as pa

from curate.core.atomic import write_parquet
from curate.core.location import StorePath
from curate.quickstart import pages
from curate.quickstart.faults import (
    BOILERPLATE_TEXTS,
    DEAD,
    MISMATCHED,
    NEAR_DUPLICATE,
    NO_PICTURE,
    NONE,
    OWN_PICTURE,
    REPEATABLE,
    REPEATED,
    REPEATED_ROW,
)
from curate.quickstart.mismatch import mismatched_texts
from curate.quickstart.pages import Page
from curate.quickstart.pictures import Picture, shipped_pictures

HOSTS = ("pictures.test", "photos.test", "shop.test", "blog.test", "cdn.test", "archive.test")
REFUSED_HOST = "dead.test"

REDIRECTED_SHARE = 0.08
"""Share of the good pictures that are reached through a redirect."""

LIST_SCHEMA = pa.schema([pa.field("URL", pa.string()), pa.field("TEXT", pa.string())])

TRUTH_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("fault", pa.string(), nullable=False),
        pa.field("picture", pa.string()),
        pa.field("description", pa.string()),
        pa.field("text_of", pa.string()),
    ]
)
"""A row per row of the list, in its order. ``fault`` is a name of ``faults.FAULTS``; ``picture`` is
the shipped picture that the address shows, ``description`` what people wrote of it, both null where
no shipped picture is shown; ``text_of`` is the picture that a mismatched text was taken from."""


@dataclass(frozen=True, slots=True)
class PlantedRow:
    """A row of the list with its truth."""

    url: str
    text: str | None
    fault: str
    picture: Picture | None = None
    text_of: Picture | None = None


@dataclass(frozen=True)
class Planted:
    """A noisy list, its truth, and the web that serves it.

    Attributes:
        rows: in the list's order.
        pages: what each address answers, for ``Web``.
        refused: hosts whose port nobody listens on, for ``Web``.
    """

    rows: tuple[PlantedRow, ...]
    pages: dict[str, Page]
    refused: tuple[str, ...] = (REFUSED_HOST,)

    def listing(self) -> pa.Table:
        """Return the list as a pipeline gets it (``LIST_SCHEMA``)."""
        columns = {"URL": [row.url for row in self.rows], "TEXT": [row.text for row in self.rows]}
        return pa.table(columns, schema=LIST_SCHEMA)

    def truth(self) -> pa.Table:
        """Return what was planted (``TRUTH_SCHEMA``)."""
        entries = [
            {
                "row": number,
                "url": row.url,
                "text": row.text,
                "fault": row.fault,
                "picture": row.picture and row.picture.file,
                "description": row.picture and row.picture.text,
                "text_of": row.text_of and row.text_of.file,
            }
            for number, row in enumerate(self.rows)
        ]
        return pa.Table.from_pylist(entries, schema=TRUTH_SCHEMA)

    def write(self, listing: StorePath, truth: StorePath) -> None:
        """Write the list and the truth as Parquet, each to its own place."""
        write_parquet(listing, self.listing())
        write_parquet(truth, self.truth())


def plant(seed: int = 0, pictures: Sequence[Picture] | None = None) -> Planted:
    """Build a noisy list of about 380 rows, its truth and its web.

    Args:
        seed: another seed, another list of the same kind.
        pictures: the shipped ones if not given; with fewer of them there are fewer good rows.

    Raises:
        SourceError: the shipped pictures are missing.
        ValueError: too few pictures for the faults.
    """
    random = Random(seed)
    every = list(shipped_pictures() if pictures is None else pictures)
    faulty = sum(fault.count for fault in OWN_PICTURE if fault.name != NONE)
    if len(every) < faulty + REPEATABLE:
        raise ValueError(f"{faulty + REPEATABLE} pictures are needed, {len(every)} were given")
    random.shuffle(every)
    planter = _Planter(every, random)
    rows = [*planter.own_pictures(), *planter.dead(), *planter.no_pictures()]
    rows += planter.repeated([row for row in rows if row.fault == NONE])
    random.shuffle(rows)
    return Planted(tuple(_originals_first(rows)), planter.pages)


class _Planter:
    """Draws addresses, texts and pages; ``pages`` fills as rows are made."""

    def __init__(self, pictures: Sequence[Picture], random: Random) -> None:
        self.pictures = pictures
        self.random = random
        self.pages: dict[str, Page] = {}
        self.bodies = {picture.file: picture.path.read_bytes() for picture in pictures}

    def own_pictures(self) -> Iterator[PlantedRow]:
        """Yield the rows that show a picture which no other of them shows."""
        unused = iter(self.pictures)
        spare = len(self.pictures) - sum(fault.count for fault in OWN_PICTURE)
        for fault in OWN_PICTURE:
            count = fault.count + min(spare, 0) * (fault.name == NONE)
            shown = [next(unused) for _ in range(count)]
            donors: Sequence[Picture | None] = [None] * count
            if fault.name == MISMATCHED:
                donors = mismatched_texts(shown, self.pictures, self.random)
            for number, (picture, donor) in enumerate(zip(shown, donors, strict=True)):
                text = donor.text if donor else self._text(fault.name, picture, number)
                url = self._serve(pages.in_some_format(self.bodies[picture.file], self.random))
                if fault.name == NONE and self.random.random() < REDIRECTED_SHARE:
                    url = self._serve(pages.redirect(url, self.random.choice([301, 302, 308])))
                yield PlantedRow(url, text, fault.name, picture, donor)

    def dead(self) -> Iterator[PlantedRow]:
        """Yield the rows whose picture never arrives, or may not be used."""
        for fault in DEAD:
            for _ in range(fault.count):
                picture = self.random.choice(self.pictures)
                yield PlantedRow(self._dead_url(fault.name, picture), picture.text, fault.name)

    def no_pictures(self) -> Iterator[PlantedRow]:
        """Yield the rows whose bytes are no picture, half a picture or no picture of anything."""
        for fault in NO_PICTURE:
            for _ in range(fault.count):
                picture = self.random.choice(self.pictures)
                page = self._no_picture(fault.name, self.bodies[picture.file])
                yield PlantedRow(self._serve(page), picture.text, fault.name)

    def repeated(self, good: Sequence[PlantedRow]) -> Iterator[PlantedRow]:
        """Yield repeats of good rows; no row is repeated twice."""
        originals = iter(self.random.sample(good, sum(fault.count for fault in REPEATED)))
        for fault in REPEATED:
            for _ in range(fault.count):
                row = next(originals)
                assert row.picture is not None
                if fault.name == REPEATED_ROW:
                    yield replace(row, fault=fault.name)
                    continue
                page = pages.near_duplicate(self.bodies[row.picture.file], self.random)
                yield replace(row, url=self._serve(page), fault=fault.name)

    def _text(self, fault: str, picture: Picture, number: int) -> str | None:
        match fault:
            case "boilerplate":
                return BOILERPLATE_TEXTS[number % len(BOILERPLATE_TEXTS)]
            case "file_name":
                pattern = self.random.choice(["IMG_{:04}.JPG", "DSC{:05}", "P10{:05}.jpg"])
                return pattern.format(self.random.randrange(10_000))
            case "empty_text":
                return ""
            case "null_text":
                return None
        return picture.text

    def _dead_url(self, fault: str, picture: Picture) -> str:
        if fault == "connection_refused":
            return self._url(REFUSED_HOST)
        if fault == "redirect_loop":
            url = self._url()
            self.pages[url] = pages.redirect(url)
            return url
        return self._serve(self._dead_page(fault, Page(self.bodies[picture.file])))

    def _dead_page(self, fault: str, page: Page) -> Page:
        match fault:
            case "connection_reset":
                return replace(page, ending="reset")
            case "connection_cut":
                return replace(page, ending="cut")
            case "redirect_private":
                return pages.redirect("http://10.0.0.1/router.jpg")
            case "opted_out":
                return replace(page, headers=(("X-Robots-Tag", "noai, noimageai"),))
        return pages.error_page(int(fault.removeprefix("http_")))

    def _no_picture(self, fault: str, body: bytes) -> Page:
        from_body: dict[str, Callable[[bytes, Random], Page]] = {
            "truncated": pages.truncated,
            "icon": pages.icon,
        }
        from_nothing: dict[str, Callable[[Random], Page]] = {
            "html": pages.html_page,
            "svg": pages.svg_page,
            "plain_text": pages.text_page,
            "tracking_pixel": pages.tracking_pixel,
            "banner": pages.banner,
        }
        if fault == "empty_body":
            return Page(b"")
        if fault in from_body:
            return from_body[fault](body, self.random)
        return from_nothing[fault](self.random)

    def _url(self, host: str | None = None) -> str:
        host = host or self.random.choice(HOSTS)
        return (
            f"http://{host}/{self.random.getrandbits(8):02x}/{self.random.getrandbits(40):010x}.jpg"
        )

    def _serve(self, page: Page) -> str:
        url = self._url()
        self.pages[url] = page
        return url


def _originals_first(rows: Sequence[PlantedRow]) -> list[PlantedRow]:
    """Swap repeats with their originals where the shuffle put them first."""
    ordered = list(rows)
    place = {
        row.picture.file: at for at, row in enumerate(rows) if row.fault == NONE and row.picture
    }
    for at, row in enumerate(rows):
        if row.fault in (REPEATED_ROW, NEAR_DUPLICATE) and row.picture:
            original = place[row.picture.file]
            if at < original:
                ordered[at], ordered[original] = ordered[original], ordered[at]
    return ordered
