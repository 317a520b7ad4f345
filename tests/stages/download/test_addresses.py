from __future__ import annotations

import pytest

from curate.stages.download._addresses import is_public, literal


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1"),
        *("::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1"),
        *("2002:7f00:1::", "64:ff9b::a00:1", "2001:db8::1"),
    ],
)
def test_inside(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_outside(address: str) -> None:
    assert is_public(address)


def test_literals_and_names() -> None:
    assert literal("10.0.0.1") == "10.0.0.1"
    assert literal("::1") == "::1"
    assert literal("example.com") is None
    assert literal("1e100.net") is None
    for disguised in ("127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "1.2.3.0x4", "10.0.0.1."):
        with pytest.raises(ValueError, match="plain address"):
            literal(disguised)
