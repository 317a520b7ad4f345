from __future__ import annotations

from curate.inspection.index.recent import Recent


def test_the_oldest_goes_when_room_is_short() -> None:
    made: list[str] = []

    def make(name: str, size: int) -> bytes:
        made.append(name)
        return b"x" * size

    recent: Recent[bytes] = Recent(10, len)
    for name in ("a", "b", "a", "c", "b", "a"):
        recent.get(name, lambda name=name: make(name, 4))  # type: ignore[misc]
    assert made == ["a", "b", "c", "b", "a"]
    assert recent.num_bytes == 8


def test_what_was_found_is_not_the_oldest() -> None:
    recent: Recent[bytes] = Recent(8, len)
    for name in ("a", "b"):
        recent.get(name, lambda: b"1234")
    assert recent.find("a") == b"1234"
    recent.get("c", lambda: b"1234")
    assert (recent.find("a"), recent.find("b")) == (b"1234", None)


def test_what_is_too_large_is_not_kept() -> None:
    recent: Recent[bytes] = Recent(10, len)
    recent.get("small", lambda: b"x")
    assert recent.get("large", lambda: b"x" * 11) == b"x" * 11
    assert recent.num_bytes == 1
