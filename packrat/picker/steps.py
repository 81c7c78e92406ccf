"""Steps of the picker, which asks for the missing options of a restore. It changes nothing.

The five steps are screens for service, backup, selection, target and confirmation. A step returns
Navigation.BACK to go back to the one before; from the first one, that leaves the picker.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from packrat.picker.available import BackupFinder
from packrat.picker.browser import browse
from packrat.picker.preview import Preview
from packrat.picker.prompts import Line, Navigation, ask_secret, ask_text, fit, notice, pick, width
from packrat.picker.tree import load_ahead
from packrat.picker.undoing import sure_to_undo, undo_line, undoable
from packrat.restore.choose import OtherKey, choose
from packrat.restore.opened import OpenedBackup
from packrat.restore.request import Request
from packrat.restore.unlock import LockedArchive
from packrat.text.report import bytes_text, count_text, time_text, when_text
from specs.faults import printable
from stages.errors import TargetError
from stages.in_place.replaced import Replaced
from stages.restore_target.resume import Marker
from vault.errors import NotThere, VaultError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from packrat.picker.available import BackupChoice
    from packrat.picker.tree import Tree
    from packrat.program import Program
    from packrat.restore.request import RestoreOptions
    from vault.archive.keys import Keys
    from vault.store.base import Store

BACK = Line("← back", Navigation.BACK)
LEAVE = Line("← leave; nothing was changed", Navigation.BACK)
NO_BACKUP = "no backup yet"


class Picker:
    """Questions for the options that the command line does not give, step by step."""

    def __init__(self, program: Program, given: RestoreOptions) -> None:
        self.program = program
        """The program to restore with; for a backup under another key, it has other keys."""
        self._given = given
        self._finder = BackupFinder(program, given.source)
        self._known = [program.keys]
        """Keys whose password was given; backups under any of them are unlocked."""
        self.service = given.service or ""
        self._backup = given.backup or ""
        self._paths: tuple[str, ...] = given.paths or ()
        self._target = _absolute(given.target) if given.target is not None else None
        self._ticked: dict[str, None] = {}
        """Paths in the order in which they were ticked, kept across steps."""
        self.opened: OpenedBackup | None = None
        """The picked backup, once it is open."""
        self._tree: Future[Tree] | None = None
        self.undo = False
        """The user chose to undo the newest in-place restore instead."""

    def request(self) -> Request | None:
        """Return the request that the user chooses, None if they leave."""
        steps = [
            (self._which_service, self._given.service is None),
            (self._which_backup, self._given.backup is None),
            (self._what, self._given.paths is None),
            (self._where, self._given.target is None and not self._given.in_place),
            (self._sure, True),
        ]
        at = 0
        while at < len(steps):
            step, asked = steps[at]
            try:
                way = step() if asked else None
            except OtherKey as locked:  # the backup was given, not picked
                if self._unlock(locked.destination, locked.name):
                    continue
                way = Navigation.BACK
            if way is Navigation.LEAVE:
                return None
            if way is None:
                at += 1
                continue
            at = max((n for n in range(at) if steps[n][1]), default=-1)
            if at < 0:
                return None
        return Request(
            self.service, self._backup or "latest", self._given.source, self._paths, self._target
        )

    def _which_service(self) -> Navigation | None:
        lines: list[Line] = []
        away: dict[str, VaultError] = {}
        notice("looking for backups …")
        names = self._finder.services()
        wide = max(map(len, names)) + 2
        for name in names:
            found = self._finder.find(name)
            away |= found.failed
            known = [choice for choice in found.choices if choice.summary]
            said = NO_BACKUP
            if known and known[0].summary:
                size = bytes_text(known[0].summary.size)
                said = (
                    f"{when_text(known[0].time):<16} {size:>10}  {count_text(len(known), 'backup')}"
                )
            elif found.choices:
                said = f"{count_text(len(found.choices), 'backup')} under another key"
            elif found.failed:
                said = "no destination answers"
            said += "  (not in the configuration)" * (name in self.program.adopted)
            lines.append(Line(f"{printable(name):<{wide}}{said}", name))
        first = self.service or None
        answer = pick("Restore which service?", [*_away_lines(away), *lines, LEAVE], at=first)
        if answer is Navigation.BACK:
            return Navigation.BACK
        self.service = answer
        return None

    def _which_backup(self) -> Navigation | None:
        while True:
            notice(f"looking for backups of {self.service} …")
            found = self._finder.find(self.service)
            if not found.choices:
                if found.failed:
                    raise next(iter(found.failed.values()))
                raise NotThere(
                    f"there is no backup of {self.service}",
                    f"packrat backup {self.service} creates one",
                )
            minutes = Counter(time_text(choice.time)[:16] for choice in found.choices)
            lines = [Line(_choice_text(choice, minutes), choice.name) for choice in found.choices]
            undo = self._undo_lines()
            lines = [*_away_lines(found.failed), *lines, *undo, self._last_line()]
            title = f"Which backup of {self.service}?"
            answer = pick(title, lines, at=self._backup or None)
            if answer is Navigation.BACK:
                return Navigation.BACK
            if isinstance(answer, Replaced):
                if (way := sure_to_undo(self.program.config, answer)) is Navigation.BACK:
                    continue
                self.undo = way is None
                return Navigation.LEAVE
            [choice] = [choice for choice in found.choices if choice.name == answer]
            if choice.summary is None:
                destination = self.program.destination(choice.destinations[0])
                if not self._unlock(destination, choice.name):
                    continue
            if choice.name != self._backup:
                self.opened = self._tree = None
                self._paths = self._given.paths or ()
                self._ticked.clear()
            self._backup = choice.name
            return None

    def _undo_lines(self) -> list[Line]:
        """Return the line that offers an undo, unless the command line calls for a restore."""
        if self._given.target is not None or self._given.in_place or self.program.faults:
            return []
        one = undoable(self.program.config, self.service)
        return [undo_line(one)] if one else []

    def _last_line(self) -> Line:
        return BACK if self._given.service is None else LEAVE

    def _unlock(self, destination: Store, name: str) -> bool:
        """Ask for the password of an archive under another key; return whether it was given."""
        locked = LockedArchive(destination, self.service, name)
        keys: Keys | None = next(filter(locked.fits, self._known), None)
        if keys is None and self._given.password_file:
            keys = locked.ask(self._given.password_file)
        said = "It is sealed under another key. Password, for this restore only:"
        while keys is None:
            password = ask_secret(said)
            if password is Navigation.BACK:
                return False
            notice("checking the password …")
            keys = locked.keys(password)
            said = "Wrong password. Try again, or press Esc:"
        self._known.append(keys)
        self.program = self.program.under(keys)
        self._finder = BackupFinder(self.program, self._given.source)
        return True

    def _what(self) -> Navigation | None:
        opened = self._opened()
        manifest = opened.manifest
        self._tree = self._tree or load_ahead(opened)
        while True:
            whole = (
                f"everything   {count_text(manifest.files, 'file')}, {bytes_text(manifest.size)}"
            )
            lines = [Line(whole, "all"), Line("some files or folders …", "some"), BACK]
            made = f"{self.service}, {when_text(manifest.made)}"
            answer = pick(f"What of {made}?", lines, at="some" if self._ticked else "all")
            if answer is Navigation.BACK:
                return Navigation.BACK
            if answer == "all":
                self._paths = ()
                return None
            notice("reading the list of files …")
            if browse(self._tree.result(), made, self._ticked):
                self._paths = tuple(self._ticked)
                return None

    def _where(self) -> Navigation | None:
        path = ", ".join(self.program.config.services[self.service].reads.named)
        lines = [
            Line("a new folder; the service is not touched", "new"),
            Line(f"in place: {path}", "in place"),
            BACK,
        ]
        if self.program.faults or self.service in self.program.adopted:
            del lines[1]  # the path may be one of the faults, or is not known
        while True:
            answer = pick("Where to?", lines)
            if answer is Navigation.BACK:
                return Navigation.BACK
            if answer == "in place":
                self._target = None
                return None
            if target := self._which_folder():
                self._target = target
                return None

    def _which_folder(self) -> str | None:
        manifest = self._opened().manifest
        day = time_text(manifest.made)[:16].replace(" ", "-").replace(":", "")
        typed = self._target or os.path.join(os.getcwd(), f"{self.service}-{day}")
        said = "Which folder? It must be empty or new."
        while True:
            typed = ask_text(f"{said}\n ", typed)
            if typed is Navigation.BACK:
                return None
            target = _absolute(typed)
            marker = Marker(self.service, manifest.id, self._paths)
            try:
                marker.goes_on(target)
            except TargetError as error:
                said = f"{fit(str(error), width() - 4).rstrip()}\n  Which folder instead?"
            else:
                return target

    def _sure(self) -> Navigation | None:
        opened = self._opened()
        notice("calculating the download …")
        in_place = self._target is None
        if self._target is not None:  # one from the command line is not checked yet
            Marker(self.service, opened.manifest.id, self._paths).goes_on(self._target)
        config = self.program.config
        preview = Preview(opened, self._paths, config.services[self.service], config.state_dir)
        said = preview.in_place() if in_place else preview.to_folder(self._target or "")
        lines = [
            Line("yes, restore", "yes"),
            Line("no, change nothing", Navigation.LEAVE),
            BACK,
        ]
        careful = Navigation.LEAVE if in_place or preview.lacks_room else "yes"
        answer = pick("\n  ".join([*said, "", "Restore?"]), lines, at=careful)
        return answer if isinstance(answer, Navigation) else None

    def _opened(self) -> OpenedBackup:
        if self.opened is None:
            notice("opening the backup …")
            chosen = choose(
                self.program, self.service, self._backup or "latest", self._given.source
            )
            self.opened = OpenedBackup(self.service, chosen, self.program.keys)
        return self.opened


def _absolute(folder: str) -> str:
    return os.path.abspath(os.path.expanduser(folder or "."))


def _choice_text(choice: BackupChoice, minutes: Counter[str]) -> str:
    """Return a line with the time; with the seconds if another backup is of the same minute."""
    where = ", ".join(choice.destinations)
    exact = time_text(choice.time)
    exact = exact if minutes[exact[:16]] > 1 else exact[:16]
    if choice.summary is None:
        return f"{when_text(choice.time):<16} {exact}  locked: another password  {where}"
    size = bytes_text(choice.summary.size)
    proven = "  proven" * choice.proven
    kind = f"{choice.summary.kind:<11}"
    return f"{when_text(choice.time):<16} {exact}  {size:>10}  {kind}  {where}{proven}"


def _away_lines(failed: dict[str, VaultError]) -> list[Line]:
    """Return a line for each destination that does not answer, with the reason."""
    return [
        Line(f"{name} does not answer: {str(error).rpartition('): ')[2]}")
        for name, error in failed.items()
    ]
