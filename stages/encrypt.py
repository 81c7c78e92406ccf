"""Encryption: seal each frame with AES-256-GCM, between the header and trailer of an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from engine.pool import AHEAD, BACKLOG, in_order
from engine.stage import Stage
from stages.facts import Base, Job
from stages.items import Frame, Sealed
from stages.replicas import Replicas
from stages.restore_target.layout import Layout
from vault.archive.format import FIRST_SEGMENT, MANIFEST, TABLE, Table, Trailer, encode
from vault.archive.header import Header
from vault.archive.keys import Keys
from vault.archive.seal import Sealer, compress
from vault.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run


class Encrypt(Stage):
    """Stage that seals frames. Everything after it may be seen by anyone."""

    kind: ClassVar[str] = "encrypt"
    backwards: ClassVar[str] = "decrypt"
    takes: ClassVar[type | None] = Frame
    gives: ClassVar[type | None] = Sealed
    needs: ClassVar[tuple[type, ...]] = (Job, Base, Keys)
    inverse_needs: ClassVar[tuple[type, ...]] = (Replicas, Layout)

    def forward(self, frames: Iterator[Frame], run: Run) -> Iterator[Sealed]:
        """Yield header, sealed frames, table and trailer; the manifest must come last."""
        keys = run.fact(Keys)
        header = Header(run.fact(Job).archive_id, keys.commitment, keys.slots)
        sealer = Sealer(keys, header, run.fact(Base).name)
        own = header.archive_id.hex()
        places: dict[int, tuple[int, int]] = {}

        def seal(frame: Frame) -> Sealed:
            data = sealer.seal(frame.number, frame.kind, frame.data)
            return Sealed(own, frame.number, frame.kind, data)

        clear = Sealed(own, -1, None, header.packed)
        end = len(clear.data)
        for sealed in in_order(run.pool, seal, frames, BACKLOG):
            if not places:
                yield clear
            places[sealed.number] = (end, len(sealed.data))
            end += len(sealed.data)
            run.advance(1, len(sealed.data))
            yield sealed
        # Every number from the first segment on was used, although not in this order.
        numbers = range(FIRST_SEGMENT, FIRST_SEGMENT + len(places) - 1)
        table = compress(encode(Table([places[number] for number in numbers])), level=3)
        sealed_table = sealer.seal(TABLE, b"t", table)
        yield Sealed(own, TABLE, b"t", sealed_table)
        trailer = Trailer(*places[MANIFEST], len(sealed_table), header.archive_id)
        yield Sealed(own, -1, None, trailer.pack())

    def inverse(self, sealed: Iterator[Sealed], run: Run) -> Iterator[Frame]:
        """Open each frame; leave out one that is damaged everywhere, whose files are lost."""
        replicas, layout = run.fact(Replicas), run.fact(Layout)

        def unseal(s: Sealed) -> Frame | Damaged:
            assert s.kind is not None
            try:
                data = replicas.unseal(s.archive, s.number, s.kind, s.data, run.check)
            except Damaged as error:
                layout.lose(s.archive, s.number, error)
                return error
            return Frame(s.archive, s.number, s.kind, data, s.wanted)

        for frame in in_order(run.pool, unseal, sealed, AHEAD):
            if isinstance(frame, Frame):
                yield frame

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return the algorithm."""
        return "AES-256-GCM"
