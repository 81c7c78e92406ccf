"""Checks of one entry of an index, without the entries around it; see `check_index`."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from vault.archive import ranges
from vault.archive.format import FIRST_SEGMENT, REGULAR, untext
from vault.archive.limits import INDEX_SEGMENT_MOST, SEGMENT_MOST
from vault.archive.ranges import OWNER_LAST, TIME_FIRST, TIME_LAST
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from vault.archive.format import Entry, Reference

MODE_LAST = ranges.RANGES["mode"][1]
SIZE_LAST = ranges.RANGES["size"][1]
INODE_LAST = ranges.RANGES["inode"][1]
AVERAGE_LEAST, AVERAGE_MOST = ranges.RANGES["average"]

_is_id = re.compile("[0-9a-f]{32}").fullmatch


class Implausible(ValueError):  # noqa: N818 (it is a property of the entry)
    """Fault of an entry, as the end of a sentence that begins with its path."""


def check_entry(entry: Entry, known: Container[str] | None = None) -> None:
    """Raise Implausible for an entry that cannot be restored.

    `known` are the archives that it may refer to; None skips that check.
    """
    _check_numbers(entry)
    if entry.type in REGULAR:
        _check_file(entry, known)
        if entry.type == "stream" and _is_more_than_a_stream(entry):
            raise Implausible("is a stream with properties that only a file has")
    else:
        _check_other(entry)
    if entry.device is not None:
        _check_device(entry.type, *entry.device)
    if entry.xattrs or entry.xattrs64:
        _check_xattrs(entry)


def pieces_of(entry: Entry, chunks: Iterable[Reference]) -> Iterator[tuple[Reference, int]]:
    """Yield each chunk and its position in the file: the chunks, end to end, fill the extents.

    Raises Damaged if they do not.
    """
    extents = iter(entry.data)
    at, left = next(extents, (0, 0))
    for chunk in chunks:
        if not left:
            at, left = next(extents, (0, 0))
        length = chunk[4]
        if not 0 < length <= left:
            raise Damaged(repr(entry.name), "its chunks do not fit its size")
        yield chunk, at
        at, left = at + length, left - length
    if left or next(extents, None):
        raise Damaged(repr(entry.name), "its chunks do not fill its size")


def _check_numbers(entry: Entry) -> None:
    """Raise Implausible for a number outside its range; see `ranges`."""
    # Written out instead of a loop over RANGES: this runs for every entry of every backup.
    if not (TIME_FIRST <= entry.mtime <= TIME_LAST and TIME_FIRST <= entry.ctime <= TIME_LAST):
        raise Implausible("has a time that no file can have")
    if not (
        0 <= entry.mode <= MODE_LAST
        and 0 <= entry.uid <= OWNER_LAST
        and 0 <= entry.gid <= OWNER_LAST
    ):
        raise Implausible("has an owner or a mode that no file can have")
    if not (0 <= entry.size <= SIZE_LAST and 0 <= entry.inode <= INODE_LAST):
        raise Implausible("has a size or an inode that no file can have")
    if entry.link and not all(0 <= part <= INODE_LAST for part in entry.link):
        raise Implausible("has a link that no file can have")


def _check_file(entry: Entry, known: Container[str] | None) -> None:
    chunks, lists = entry.chunks, entry.lists
    if entry.target or entry.target64:
        raise Implausible("is a file with a target")
    if not AVERAGE_LEAST <= entry.average <= AVERAGE_MOST:
        raise Implausible("has an average that no writer chooses")
    if len(chunks) > ranges.LISTED_FROM or len(lists) > ranges.LISTS_MOST or (chunks and lists):
        raise Implausible("has more chunks or lists than the format allows")
    for chunk in chunks:
        check_reference(chunk, known, SEGMENT_MOST)
    for place in lists:
        check_reference(place, known, INDEX_SEGMENT_MOST)
        if place[4] > ranges.BLOCK_BYTES:
            raise Implausible("has a longer chunk list than the format allows")
    if entry.extents is not None:
        end = 0
        for offset, length in entry.extents:
            if offset < end or length <= 0 or offset + length > entry.size:
                raise Implausible("has data outside of it")
            end = offset + length
    elif len(chunks) == 1 and chunks[0][4] == entry.size:
        return  # as for nearly all files
    if lists:
        return  # whoever reads them compares them with the extents
    try:
        for _ in pieces_of(entry, chunks):
            pass
    except Damaged:
        raise Implausible("has chunks that are not the data it should have") from None


def check_reference(reference: Reference, known: Container[str] | None, end: int) -> None:
    """Raise Implausible for a reference to a place where no chunk can be.

    `end` is the largest position in a segment of its kind; for `known`, see `check_entry`.
    """
    name, archive, frame, offset, length = reference
    if not _is_id(name) or (known is not None and archive not in known):
        raise Implausible("refers to an archive that the backup does not name")
    if frame < FIRST_SEGMENT or offset < 0 or not 0 < length <= end - offset:
        raise Implausible("refers to a place where no chunk can be")


def _is_more_than_a_stream(entry: Entry) -> bool:
    return (
        bool(entry.inode or entry.link or entry.xattrs or entry.xattrs64)
        or entry.extents is not None
        or entry.average != AVERAGE_MOST
    )


def _check_other(entry: Entry) -> None:
    has_content = entry.chunks or entry.lists or entry.extents is not None or entry.size
    if has_content or entry.average != AVERAGE_MOST:
        raise Implausible(f"is a {entry.type} with content")
    if entry.type == "symlink":
        try:
            target = untext(entry.target or "", entry.target64).encode("utf-8", "surrogateescape")
        except (Damaged, UnicodeEncodeError):
            target = b""
        if not 0 < len(target) <= ranges.TARGET_BYTES or b"\0" in target:
            raise Implausible("is a link to nowhere")
    elif entry.target or entry.target64:
        raise Implausible(f"is a {entry.type} with a target")


def _check_device(kind: str, major: int, minor: int) -> None:
    if kind not in ("char", "block"):
        raise Implausible(f"is a {kind} with a device number")
    if not (ranges.within("major", major) and ranges.within("minor", minor)):
        raise Implausible("has a device number that Linux cannot have")


def _check_xattrs(entry: Entry) -> None:
    total = 0
    try:
        names = [name.encode("utf-8", "surrogateescape") for name in entry.xattrs]
        names += [base64.b64decode(name, validate=True) for name in entry.xattrs64]
        for value in (*entry.xattrs.values(), *entry.xattrs64.values()):
            total += len(base64.b64decode(value, validate=True))
    except ValueError:
        raise Implausible("has an attribute that is not base64") from None
    if any(not 0 < len(name) <= ranges.XATTR_NAME_BYTES or b"\0" in name for name in names):
        raise Implausible("has an attribute without a name that can be")
    if total + sum(map(len, names)) > ranges.XATTRS_BYTES:
        raise Implausible(f"has attributes of more than {ranges.XATTRS_BYTES:,} bytes")
