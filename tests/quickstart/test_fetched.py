"""The fetch stage on the loopback web: each planted fault ends with the reason it should."""

from collections import defaultdict

import pyarrow as pa

from curate.quickstart.faults import FAULTS
from curate.quickstart.plant import plant
from curate.quickstart.web import Web
from curate.stages.download.fetch import Config

REASONS = {
    "http_404": "http_404",
    "http_410": "http_410",
    "http_500": "http_5xx",
    "connection_reset": "connect",
    "connection_refused": "connect",
    "connection_cut": "truncated_body",
    "redirect_loop": "too_many_redirects",
    "redirect_private": "private_address",
    "opted_out": "opt_out",
    "html": "not_an_image",
    "svg": "not_an_image",
    "plain_text": "not_an_image",
    "truncated": "truncated_image",
    "empty_body": "empty_body",
}


def test_every_fault_ends_with_its_reason_and_every_picture_arrives() -> None:
    planted = plant()
    rows = pa.table({"url": [row.url for row in planted.rows]})
    with Web(planted.pages, refused=planted.refused) as web:
        stage = Config(resolve=web.resolve_map(), backoff_s=0.01).build()
        with stage.ready():
            mapped = stage(rows)
    assert mapped.reasons is not None
    seen = defaultdict(set)
    for row, reason in zip(planted.rows, mapped.reasons.to_pylist(), strict=True):
        seen[row.fault].add(reason)
    assert seen == {name: {REASONS.get(name)} for name in FAULTS}
