"""Base of every type of destination."""

from typing import TYPE_CHECKING, ClassVar

from specs.retain import Retain
from specs.section import Section
from specs.values import Rate

if TYPE_CHECKING:
    from vault.store.base import Store


class DestinationSection(Section):
    """Settings of a destination. A subclass says which store they open, and where that is."""

    distance: ClassVar[int]
    """Order in which restores read: the fastest and cheapest destinations first."""
    limit: Rate | None = None
    """Maximum upload rate, in bytes per second."""
    retain: Retain | None = None
    """Rules by which this destination keeps backups, instead of those of the services."""

    @property
    def where(self) -> str:
        """One line for the recovery sheet, without secrets."""
        raise NotImplementedError

    @property
    def root(self) -> str | None:
        """The store's root, None if only the open store knows it."""
        return None

    def store(self, name: str, accepted_hosts: str) -> "Store":
        """Return the store, without the limit; raises SecretFault.

        `accepted_hosts` is the file of the host keys that `check --connect` has accepted.
        """
        raise NotImplementedError

    def open(self, name: str, accepted_hosts: str) -> "Store":
        """Return the store with all its wrappers; raises SecretFault."""
        from vault.store.throttled import Throttled

        store = self.store(name, accepted_hosts)
        return Throttled(store, self.limit) if self.limit else store
