"""Work of a job, which the daemon hands to a child on its standard input.

It is self-contained, so that a file that is just being edited harms no job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from specs.compile import compile_service, compile_verify
from specs.load import literals_of
from vault.catalog.prover import Depth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from specs.config import Config

Kind = Literal["backup", "verify", "repair"]


class Work(msgspec.Struct, frozen=True):
    """Pipeline documents, and what they refer to."""

    kind: Kind
    pipelines: list[dict[str, Any]]
    literals: dict[str, str]
    """Texts of the secrets that are written in the configuration."""
    unmasked: list[str]
    """Words of the configuration that are shown even if they equal a secret."""
    percent: float
    """Share of the stored bytes that a verification reads."""


def work_of(config: Config, kind: Kind, services: Iterable[str]) -> bytes:
    """Return the work of a job on some services, as JSON."""
    pipelines = [
        compile_verify(config, name, Depth.FRAMES)
        if kind == "verify"
        else compile_service(config, name)
        for name in services
    ]
    work = Work(
        kind,
        [pipeline.document() for pipeline in pipelines],
        literals_of(config),
        config.shown_words(),
        config.verify.deep_percent,
    )
    return msgspec.json.encode(work)
