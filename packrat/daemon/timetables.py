"""Timetables of all schedules of a configuration, which continue where the last daemon ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packrat.runs.schedule import Schedule, Timetable, zone_of
from packrat.text.report import minute_text

if TYPE_CHECKING:
    from packrat.runs.history import History
    from specs.config import Config

VERIFY = ".verify"
"""Name of the verification job; no service name begins with a dot."""


class Timetables(dict[str, Timetable]):
    """Timetables by the name of their job: a service, or the verification."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history

    def build(self, config: Config, now: float) -> None:
        """Build a timetable for each schedule; one that has not changed is kept."""
        zone = zone_of(config.timezone)
        schedules = {name: s.schedule for name, s in config.services.items()}
        tables = {}
        for name, text in {**schedules, VERIFY: config.verify.schedule}.items():
            if text is None:
                continue
            known = self.get(name)
            if known and known.schedule == Schedule(text, zone):
                tables[name] = known
                continue
            table = Timetable(Schedule(text, zone), self._history.mark(name, text, now))
            for instant in reversed(self._history.instants(name)):
                table.done(instant)
            tables[name] = table
        self.clear()
        self.update(tables)

    def mark_handled(self, name: str, instant: float, *, ran: bool = True) -> None:
        """Mark an instant as handled, in memory and in the history."""
        if table := self.get(name):
            table.done(instant) if ran else table.drop(instant)
            self._history.set_mark(name, table.schedule.text, table.mark)

    def next_text(self, name: str, now: float) -> str:
        """Return the time of the next run of a job after now, "" without a schedule."""
        table = self.get(name)
        return minute_text(table.schedule.after(now)) if table else ""

    def summary(self, now: float) -> str:
        """Return how many services have a schedule, and which job is due first."""
        services = [name for name in self if name != VERIFY]
        text = f"services with a schedule: {len(services)}"
        if self:
            due, name = min((table.next(now), name) for name, table in self.items())
            what = "verification" if name == VERIFY else name
            when = "now" if due <= now else f"at {minute_text(due)}"
            text += f"; next run: {what} {when}"
        return text
