"""Parameter `keep` of stages: a number of backups, or the rules of retention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from pydantic import PlainSerializer, PlainValidator
from pydantic_core import PydanticKnownError

from vault.catalog.lineage import pins_of
from vault.catalog.retention import Policy
from vault.catalog.rules import Rules

if TYPE_CHECKING:
    from stages.facts import Holdings, Job


def parse_keep(value: Any) -> Rules:
    """Return the rules that a parameter `keep` means; raises ValueError."""
    if isinstance(value, Rules):
        return value
    try:
        rules = msgspec.convert(value if isinstance(value, dict) else {"last": value}, Rules)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if rules == Rules(zone=rules.zone):
        raise PydanticKnownError("greater_than_equal", {"ge": 1})  # keeps nothing
    return rules


def _plain(rules: Rules) -> Any:
    plain: dict[str, Any] = msgspec.to_builtins(rules)
    return plain["last"] if plain.keys() == {"last"} else plain


Keep = Annotated[Rules, PlainValidator(parse_keep), PlainSerializer(_plain)]
"""Parameter of what a destination keeps: `14`, or for example `{last: 7, monthly: 12}`."""


def policy_of(keep: Rules, job: Job, holdings: Holdings) -> Policy:
    """Return what a destination keeps, with the pins that any destination knows of."""
    catalogs = [*holdings.catalogs.values(), holdings.waiting]
    return Policy(keep, job.host, pins_of(catalogs, None if job.take_over else job.host))
