"""Encrypt: seal each frame with AES-256-GCM, between the header and the trailer of an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from engine.parallel import BACKLOG, in_order
from engine.stage import Stage
from stages.items import Frame, Sealed
from vault.archive.format import FIRST_SEGMENT, MANIFEST, TABLE, Table, Trailer, encode
from vault.archive.seal import Sealer, compress
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.session import BackupSession, RestoreSession


class Encrypt(Stage):
    """What leaves this stage may be seen by anybody."""

    kind: ClassVar[str] = "encrypt"
    backwards: ClassVar[str] = "decrypt"
    takes: ClassVar[type | None] = Frame
    gives: ClassVar[type | None] = Sealed

    def forward(self, frames: Iterator[Frame], run: Run[BackupSession]) -> Iterator[Sealed]:
        """Give header, sealed frames, table and trailer; the manifest must come last."""
        session = run.context
        header = session.header
        sealer = Sealer(session.keys, header, session.name)
        own = header.archive_id.hex()
        places: dict[int, tuple[int, int]] = {}

        def seal(frame: Frame) -> Sealed:
            data = sealer.seal(frame.number, frame.kind, frame.data)
            return Sealed(own, frame.number, frame.kind, data)

        clear = Sealed(own, -1, None, header.pack())
        yield clear
        end = len(clear.data)
        for sealed in in_order(run.pool, seal, frames, BACKLOG):
            places[sealed.number] = (end, len(sealed.data))
            end += len(sealed.data)
            run.advance(1, len(sealed.data))
            yield sealed
        # Every number from the first segment on was used, though not in this order.
        numbers = range(FIRST_SEGMENT, FIRST_SEGMENT + len(places) - 1)
        table = compress(encode(Table([places[number] for number in numbers])), level=3)
        sealed_table = sealer.seal(TABLE, b"t", table)
        yield Sealed(own, TABLE, b"t", sealed_table)
        trailer = Trailer(*places[MANIFEST], len(sealed_table), header.archive_id)
        yield Sealed(own, -1, None, trailer.pack())

    def inverse(self, sealed: Iterator[Sealed], run: Run[RestoreSession]) -> Iterator[Frame]:
        """Open each frame; what no copy has good is left out, and its files are lost."""
        for s in sealed:
            assert s.kind is not None
            try:
                data = run.context.copies.unseal(s.archive, s.number, s.kind, s.data)
            except Damaged as error:
                run.context.lose(s.archive, s.number, error)
            else:
                yield Frame(s.archive, s.number, s.kind, data, s.wanted)

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Say how."""
        return "AES-256-GCM"
