"""The `retain:` section: which backups are kept, by count, by calendar and by age."""

from typing import Any, Self

from pydantic import Field, model_validator

from specs.section import Section
from specs.values import Wait, refusal


class Retain(Section):
    """Rules of retention. A backup is kept if any of them keeps it; the newest always is."""

    last: int = Field(0, ge=0)
    """Number of newest backups to keep."""
    daily: int = Field(0, ge=0)
    """Number of days of which the newest backup is kept; days without one do not count."""
    weekly: int = Field(0, ge=0)
    """Number of weeks, from Monday to Sunday, of which the newest backup is kept."""
    monthly: int = Field(0, ge=0)
    """Number of months of which the newest backup is kept."""
    yearly: int = Field(0, ge=0)
    """Number of years of which the newest backup is kept."""
    within: Wait | None = None
    """Time before the newest backup within which all are kept, such as 90d."""

    def keep(self, timezone: str | None) -> dict[str, Any]:
        """Return the parameter `keep` of stages."""
        rules = {rule: count for rule, count in self.model_dump().items() if count}
        return rules | ({"zone": timezone} if timezone else {})

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        if not any(self.model_dump().values()):
            raise refusal("keeps nothing", "write for example last: 7")
        return self
