"""What it usually means when one kind of failure dominates a download, in one line."""

from __future__ import annotations

from collections.abc import Mapping

#: Share of a stage's failures, and of all rows, from which one reason is said to dominate.
_OF_FAILURES, _OF_ROWS, _LEAST_ROWS = 0.5, 0.1, 20

#: Reasons that mean the same to a reader are counted together.
_SAME = {"tls_certificate": "tls", "truncated_body": "connect", "host_busy": "rate"}

_MEANING = {
    "dns": "names do not resolve. Old lists lose a tenth of their hosts; more than that is mostly "
    "the name server of this machine giving up: run one of your own (knot, unbound), or lower "
    "`concurrency`",
    "connect": "connections fail or break. A firewall, a full connection table of the router, or "
    "hosts that shut out this address: try one URL with curl, lower `concurrency`",
    "timeout": "requests time out. Mostly more requests in flight than the line or the name "
    "server carries: lower `concurrency` or raise `timeout_s`",
    "tls": "TLS fails. A wrong clock, old root certificates (`ca-certificates`, `certifi`) or a "
    "proxy that breaks TLS open; if none of these, the sites are out of care",
    "deadline": "partitions run out of time. Raise `deadline_s` or take fewer `partition_rows`",
    "rate": "rows wait too long for hosts that may be asked seldom. Shuffle the list, so that a "
    "host's rows lie in many partitions, or raise `host_wait_s`",
    "host_down": "hosts were left alone because they only failed or asked for it (`Retry-After`). "
    "Look at the other reasons for the cause; lower `per_host`",
    "http_429": "hosts say we ask too often. Lower `per_host`, set `requests_per_s`, shuffle the "
    "list",
    "http_403": "hosts refuse us. Many do so by address (data centres) or user agent: set an "
    "honest `user_agent` with a way to reach you; do not pose as a browser",
    "http_404": "pages are gone. Lists age: a fifth to a third of an old one is normal, and "
    "nothing brings these back",
    "http_5xx": "servers fail. If one host makes up the list it is down or overloaded: wait, or "
    "lower `per_host`",
    "robots": "robots.txt forbids it. That is its owners' decision; fewer rows are to be had here",
    "opt_out": "pages opt out of such use (X-Robots-Tag). That is their owners' decision",
    "private_address": "addresses are private. The list holds internal hosts, or the name server "
    "here answers for blocked names; `allow_hosts` opens a host you own",
    "not_an_image": "bodies are no pictures. Mostly pages that say 'not found' with status 200, or "
    "the wrong `url` column: look at a few of `details` in the ledger",
    "bad_url": "URLs are not usable. The wrong `url` column, or relative addresses without their "
    "site",
    "no_url": "rows have no URL. The wrong `url` column?",
    "hash_mismatch": "bodies differ from the list's hashes. The pictures changed since, or "
    "`verify_hash` names the wrong column or type",
    "too_large": "bodies are above `max_bytes`, or pictures above `max_image_area`: raise it if "
    "they are wanted",
}

#: Classes that another day, another line or another setting may mend.
_MAY_PASS = (
    *("dns", "connect", "timeout", "tls", "deadline", "rate"),
    *("host_down", "http_429", "http_5xx"),
)


def advice(reasons: Mapping[str, int], *, rows: int) -> str | None:
    """Return a line for people when one class of failure dominates, or None.

    A class dominates with half of a stage's failures and a tenth of all rows, 20 at least.

    Args:
        reasons: how many rows a download stage dropped, by reason.
        rows: that went into it.

    Example:
        >>> advice({"http_404": 3, "dns": 90}, rows=100)[:40]
        '90% of the rows (dns): names do not reso'
    """
    counts: dict[str, int] = {}
    for reason, count in reasons.items():
        name = _SAME.get(reason, reason)
        counts[name] = counts.get(name, 0) + count
    if not counts or not rows:
        return None
    name, count = max(counts.items(), key=lambda item: item[1])
    enough = count >= max(_LEAST_ROWS, _OF_ROWS * rows, _OF_FAILURES * sum(counts.values()))
    if not enough or name not in _MEANING:
        return None
    named = [reason for reason in reasons if _SAME.get(reason, reason) == name]
    line = f"{count / rows:.0%} of the rows ({', '.join(sorted(named))}): {_MEANING[name]}"
    if name in _MAY_PASS:
        line += f"; then `curate run RECIPE --retry {','.join(sorted(named))}`"
    return line
