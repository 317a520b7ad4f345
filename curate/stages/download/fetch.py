"""Download pictures by URL: concurrent, bounded, polite, with a reason for every failure."""

from __future__ import annotations

import re

import pyarrow as pa
from pydantic import Field, field_validator

from curate.core.columns import HTTP_STATUS
from curate.core.config import tuning
from curate.core.resources import Resources
from curate.core.version import __version__
from curate.stages.download._addresses import literal
from curate.stages.download._downloads import Fetch
from curate.stages.download._pictures import FIELDS, PictureConfig


class Config(PictureConfig):
    """Download ``url``, check, resize and encode; rows that fail stop with a reason.

    Reasons: ``no_url``, ``bad_url``, ``private_address``, ``robots``, ``opt_out``, ``dns``,
    ``connect``, ``tls``, ``tls_certificate``, ``timeout``, ``deadline``, ``host_down``,
    ``host_busy``, ``http_404`` (each 4xx by number), ``http_5xx``, ``http_other``,
    ``too_many_redirects``, ``bad_redirect``, ``protocol``, ``headers_too_large``,
    ``truncated_body``, ``too_large`` (bytes, or ``max_image_area``), ``hash_mismatch``, and those
    of ``ImageFault``.

    Attributes:
        timeout_s: seconds on the network for one attempt, redirects and body included.
        connect_timeout_s: of these, for finding the address and connecting to it.
        idle_timeout_s: of these, without a byte: before the first one and between two.
        retries: further attempts after time-outs, broken connections, 5xx, 408, 425 and 429.
        backoff_s: seconds before the first retry, give or take a half; doubles with each.
        retry_after_max_s: greatest ``Retry-After`` that is waited for; after a longer one the
            host is left alone for that long.
        deadline_s: seconds for a whole partition; rows not done by then stop as ``deadline``.
        max_redirects: redirects followed for one URL.
        concurrency: requests in flight for one partition; fewer while many of them time out.
        per_host: of these, to one host.
        requests_per_s: requests a second to one host; None for no bound but its ``Crawl-delay``.
        host_wait_s: seconds a row waits for its turn at a host that may be asked so and so often;
            later turns stop as ``host_busy``.
        host_failures: rows of a host that fail in a row before the rest stop as ``host_down``;
            0 for never.
        host_pause_s: seconds until such a host is tried again.
        user_agent: what the requests say they come from.
        user_agent_token: name by which robots.txt and ``X-Robots-Tag`` may address us; added to
            ``user_agent``. None takes the first word of ``user_agent``.
        robots_txt: obey robots.txt (RFC 9309).
        disallowed_header_directives: directives of ``X-Robots-Tag`` that are honoured.
        allow_hosts: hosts and addresses that may lie in private networks.
        resolve: ``host:port`` to ``address:port``, as curl's ``--connect-to``; an entry here is
            allowed wherever it leads.
    """

    timeout_s: float = tuning(10.0, gt=0, le=3600)
    connect_timeout_s: float = tuning(5.0, gt=0, le=3600)
    idle_timeout_s: float = tuning(5.0, gt=0, le=3600)
    retries: int = tuning(2, ge=0, le=10)
    backoff_s: float = tuning(0.5, ge=0, le=60)
    retry_after_max_s: float = tuning(30.0, ge=0, le=3600)
    deadline_s: float = tuning(900.0, gt=0, le=86_400)
    max_redirects: int = Field(5, ge=0, le=20)
    concurrency: int = tuning(64, ge=1, le=4096)
    per_host: int = tuning(8, ge=1, le=4096)
    requests_per_s: float | None = tuning(None, gt=0, le=10_000)
    host_wait_s: float = tuning(120.0, ge=0, le=86_400)
    host_failures: int = tuning(10, ge=0, le=10_000)
    host_pause_s: float = tuning(300.0, gt=0, le=86_400)
    user_agent: str = tuning(f"curate/{__version__} (image-text dataset builder)", min_length=1)
    user_agent_token: str | None = Field(None, pattern=r"^\s*[A-Za-z_-]+\s*$")
    robots_txt: bool = True
    disallowed_header_directives: tuple[str, ...] = (
        *("noai", "noimageai", "noindex", "noimageindex", "noml"),
    )
    allow_hosts: tuple[str, ...] = ()
    resolve: dict[str, str] = tuning({})

    @field_validator("resolve")
    @classmethod
    def _targets(cls, value: dict[str, str]) -> dict[str, str]:
        for name, target in value.items():
            for text in (name, target):
                host, colon, port = text.rpartition(":")
                if not (host and colon and port.isdigit() and 0 < int(port) < 65_536):
                    raise ValueError(f"{text!r} is not of the form host:port")
            if literal(name.rpartition(":")[0].strip("[]")) is not None:
                raise ValueError(f"{name!r} is an address: only names can be led elsewhere")
            if literal(target.rpartition(":")[0].strip("[]")) is None:
                raise ValueError(f"{target!r} does not begin with an address")
        return {name.lower(): target for name, target in value.items()}

    @field_validator("user_agent")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"{value!r} is more than a line of ASCII")
        return value

    @property
    def token(self) -> str:
        """The name by which robots.txt and ``X-Robots-Tag`` may address us, lower case."""
        first = re.match(r"[A-Za-z_-]*", self.user_agent.strip())
        return (self.user_agent_token or (first[0] if first else "")).strip().lower() or "curate"

    @property
    def interval_s(self) -> float:
        """Seconds between the starts of two requests to one host."""
        return 1 / self.requests_per_s if self.requests_per_s else 0.0

    @property
    def reads(self) -> tuple[str, ...]:
        """The address, and the hash to check."""
        return ("url", *super().reads)

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        """The picture's columns and the HTTP status."""
        return (*FIELDS, HTTP_STATUS)

    @property
    def resources(self) -> Resources:
        """Waits on the network and decodes a little."""
        return Resources(num_cpus=1.0, memory_gib=1.0, network=True)

    def build(self) -> Fetch:
        """Build the stage."""
        return Fetch(self)
