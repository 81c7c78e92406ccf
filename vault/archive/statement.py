"""Statements: small sealed files in which somebody says something about archives of a line.

See "Statements" in docs/format.md. A statement is never changed; a later one ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vault.archive.format import StatementName, encode
from vault.archive.header import HEADER_MOST, VERSION, Header
from vault.archive.limits import SEALED_MOST
from vault.archive.lineage import Id, Says, Time, fault_of_saying
from vault.archive.reader import require_key
from vault.archive.seal import Sealer, compress, unpack
from vault.errors import Damaged

if TYPE_CHECKING:
    from vault.archive.keys import Keys

FILE_MOST = HEADER_MOST + SEALED_MOST[b"s"]
"""Bytes of a statement's file."""
FRAME = 0
"""Number of its only frame."""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """Sentence about archives of a line."""

    format: int = VERSION
    id: Id
    service: str
    host: str
    line: Id
    time: Time
    says: Says
    archives: list[Id]
    text: str = ""

    @property
    def name(self) -> str:
        """Name of its file."""
        return str(StatementName(self.service, self.time, self.id[:8]))


decode_statement = msgspec.json.Decoder(Statement).decode


def seal_statement(statement: Statement, keys: Keys) -> bytes:
    """Return the file of a statement; raises ValueError for one that no reader accepts."""
    if fault := fault_of_saying(statement.archives, statement.text):
        raise ValueError(f"{statement.name} {fault}")
    header = Header(bytes.fromhex(statement.id), keys.commitment, keys.slots)
    content = compress(encode(statement), level=3)
    return header.packed + Sealer(keys, header, statement.name).seal(FRAME, b"s", content)


def open_statement(data: bytes, name: str, keys: Keys, where: str) -> Statement:
    """Open the file called `name`; raises Damaged, naming `where`, and WrongKey."""
    if len(data) > FILE_MOST:
        raise Damaged(where, "is larger than a statement may be")
    header = Header.unpack(data[:HEADER_MOST], where)
    require_key(header, keys, where)
    sealed = data[header.size :]
    plain = unpack(where, FRAME, b"s", Sealer(keys, header, where).open(FRAME, b"s", sealed))
    try:
        statement = decode_statement(plain)
    except msgspec.MsgspecError as error:
        raise Damaged(where, f"does not parse: {error}") from None
    own = statement.format, statement.id, statement.name
    if own != (VERSION, header.archive_id.hex(), name):
        raise Damaged(where, f"is actually {statement.name}: the file was renamed or swapped")
    if fault := fault_of_saying(statement.archives, statement.text):
        raise Damaged(where, fault)
    return statement
