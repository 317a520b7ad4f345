"""What is in a tar of samples: for each its key, where the picture's bytes lie, texts and facts.

Members that follow each other and share the name up to its first dot are one sample, as the
webdataset library has it. Pictures are passed over, not read.
"""

from __future__ import annotations

import itertools
import json
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from curate.sources._rows import NOT_UTF8, UNREADABLE_ROW, bad_utf8, kept_texts

NO_PICTURE, TRUNCATED_SHARD = "no_picture", "truncated_shard"
PICTURE_SUFFIXES = frozenset(
    {"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "img"}
)
_MAX_TEXT_BYTES = 1 << 20
_BLOCK = 512


@dataclass(slots=True)
class TarSample:
    """One sample of a tar.

    Attributes:
        key: its name without endings, with folders.
        member: name of the picture's member; None without one.
        place: offset of the picture's first byte in the tar.
        size: of the picture, bytes.
        texts: by the member ``txt``: its whole content.
        facts: the member ``json``, if it is an object.
        reason: why it is no good, or None.
        detail: for people.
    """

    key: str
    member: str | None = None
    place: int = 0
    size: int = 0
    texts: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    detail: str | None = None


def tar_samples(opened: IO[bytes]) -> Iterator[TarSample]:
    """Yield the samples of a tar, in order; a tar that ends too soon ends with one that says so."""
    error: Exception | None = None
    last = ""
    with tarfile.open(fileobj=opened, mode="r:") as tar:
        members = _Members(tar)
        for key, group in itertools.groupby(members, key=lambda one: _split(one.name)[0]):
            last = key
            yield _sample(key, list(group), tar)
        error = members.error
    if error is not None:
        detail = f"behind {last!r}: {error}" if last else str(error)
        yield TarSample(f"{last}~", reason=TRUNCATED_SHARD, detail=_plain(detail))


class _Members:
    """The plain files of a tar, up to where it can be read."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._end = 0
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        while True:
            try:
                member = self._tar.next()
            except (tarfile.TarError, OSError, ValueError, EOFError) as error:
                self.error = error
                return
            if member is None:
                self._look_behind()
                return
            self._end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
            if member.isreg() and not member.issparse():
                yield member

    def _look_behind(self) -> None:
        """See whether the tar ends here: ``tarfile`` passes over half a header and over rubbish."""
        file = self._tar.fileobj
        assert file is not None
        file.seek(self._end)
        if file.read(_BLOCK).strip(b"\0"):
            self.error = tarfile.ReadError("what follows is no member")


def _split(name: str) -> tuple[str, str]:
    """Return a member's key and its endings, lower case."""
    folder, base = posixpath.split(name)
    stem, _, endings = base.partition(".")
    return posixpath.join(folder, stem), endings.lower()


def _sample(key: str, members: list[tarfile.TarInfo], tar: tarfile.TarFile) -> TarSample:
    sample = TarSample(key)
    for member in members:
        endings = _split(member.name)[1]
        if endings in PICTURE_SUFFIXES and sample.member is None:
            sample.member, sample.size = member.name, member.size
            sample.place = member.offset_data
        elif endings in ("txt", "json"):
            _read_beside(sample, member, endings, tar)
    if sample.member is None and sample.reason is None:
        sample.reason = NO_PICTURE
        sample.detail = _plain(", ".join(member.name for member in members)[:300])
    try:
        f"{sample.key}{sample.member}".encode()
    except UnicodeEncodeError:
        sample.reason, sample.detail = NOT_UTF8, f"member {sample.key!a}"
        sample.key, sample.member = ascii(sample.key), None
    return sample


def _read_beside(
    sample: TarSample, member: tarfile.TarInfo, ending: str, tar: tarfile.TarFile
) -> None:
    try:
        if member.size > _MAX_TEXT_BYTES:
            raise ValueError(f"{member.size} bytes, at most {_MAX_TEXT_BYTES} are read")
        opened = tar.extractfile(member)
        assert opened is not None, "a plain file"
        text = opened.read().decode("utf-8-sig")
        if ending == "txt":
            sample.texts = kept_texts([text.strip()])
            return
        facts = json.loads(text)
        if isinstance(facts, dict):
            json.dumps(facts, ensure_ascii=False).encode()
            sample.facts = facts
    except UnicodeError as error:
        sample.reason, sample.detail = NOT_UTF8, bad_utf8(error, ending)
    except (tarfile.TarError, OSError, ValueError, RecursionError) as error:
        sample.reason, sample.detail = UNREADABLE_ROW, _plain(f"{ending}: {error}"[:300])


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
