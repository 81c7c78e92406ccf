"""Steps of the picker, which asks for the missing options of a restore. It changes nothing.

The five steps are screens for service, backup, selection, target and confirmation. A step returns
Navigation.BACK to go back to the one before; from the first one, that leaves the picker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from packrat.browse.library import AllBackups
from packrat.picker.available import BackupFinder, newest_of, rows_of
from packrat.picker.browser import Browser
from packrat.picker.cells import aligned, width
from packrat.picker.preview import Preview
from packrat.picker.prompts import Line, ask_secret, confirm_plan, notice, pick
from packrat.picker.screen import Navigation
from packrat.picker.target import absolute, ask_folder, require_usable
from packrat.picker.tree import load_ahead
from packrat.picker.undoing import confirm_undo, undo_line, undoable
from packrat.picker.versions import VersionPicker
from packrat.restore.choose import OtherKey, choose
from packrat.restore.opened import OpenedBackup
from packrat.restore.unlock import LockedArchive
from packrat.text.report import bytes_text, count_text, when_text
from specs.faults import printable
from stages.in_place.replaced import Replaced
from vault.errors import NotThere, VaultError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from packrat.picker.tree import Tree
    from packrat.program import Program
    from packrat.restore.request import Request
    from vault.archive.keys import Keys
    from vault.store.base import Store

BACK = Line("← back", Navigation.BACK)
LEAVE = Line("← leave; nothing was changed", Navigation.BACK)


class Picker:
    """Questions for the options that the command line does not give, step by step."""

    def __init__(self, program: Program, given: Request) -> None:
        self.program = program
        """The program to restore with; for a backup under another key, it has other keys."""
        self._given = given
        self._finder = BackupFinder(program, given.source)
        self._known = [program.keys]
        """Keys whose password was given; backups under any of them are unlocked."""
        self.service = given.service
        self._backup = given.backup or ""
        self._paths: tuple[str, ...] = given.paths or ()
        self._target = absolute(given.target) if given.target is not None else None
        self._browser: Browser | None = None
        """Position and selection in the picked backup, kept across steps."""
        self._versions: VersionPicker | None = None
        self.opened: OpenedBackup | None = None
        """The picked backup, once it is open."""
        self._tree: Future[Tree] | None = None
        self.undo = False
        """The user chose to undo the newest in-place restore instead."""

    def request(self) -> Request | None:
        """Return the request that the user chooses, None if they leave."""
        steps = [
            (self._which_service, not self._given.service),
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
        return structs.replace(
            self._given,
            service=self.service,
            backup=self._backup or "latest",
            paths=self._paths,
            target=self._target,
        )

    def _which_service(self) -> Navigation | None:
        rows: list[list[str]] = []
        away: dict[str, VaultError] = {}
        notice("looking for backups …")
        names = self._finder.services()
        for name in names:
            found = self._finder.find(name)
            away |= found.failed
            left = "(not in the configuration)" * (name in self.program.adopted)
            rows.append([printable(name), *found.cells, left])
        lines = list(map(Line, aligned(rows, width() - 4, drop=(2, 1), right=(2,)), names))
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
            rows = zip(rows_of(found.choices, width() - 4), found.choices, strict=True)
            lines = [Line(row, choice.name, choice.more) for row, choice in rows]
            lines = [*_away_lines(found.failed), *lines, *self._undo_lines(), self._last_line()]
            newest = newest_of(found.choices)
            at = self._backup or (newest and newest.name)
            answer = pick(f"Which backup of {self.service}?", lines, at=at)
            if answer is Navigation.BACK:
                return Navigation.BACK
            if isinstance(answer, Replaced):
                if (way := confirm_undo(self.program.config, answer)) is Navigation.BACK:
                    continue
                self.undo = way is None
                return Navigation.LEAVE
            [choice] = [choice for choice in found.choices if choice.name == answer]
            if choice.summary is None:
                destination = self.program.destination(choice.destinations[0])
                if not self._unlock(destination, choice.name):
                    continue
            if choice.name != self._backup:
                self._switch(choice.name, self._given.paths or ())
            return None

    def _switch(self, backup: str, paths: tuple[str, ...]) -> None:
        """Take another backup, with its own selection."""
        self.opened = self._tree = self._browser = None
        self._backup, self._paths = backup, paths

    def _undo_lines(self) -> list[Line]:
        """Return the line that offers an undo, unless the command line calls for a restore."""
        if self._given.target is not None or self._given.in_place or self.program.faults:
            return []
        one = undoable(self.program.config, self.service)
        return [undo_line(one)] if one else []

    def _last_line(self) -> Line:
        return LEAVE if self._given.service else BACK

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
        self._versions = None
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
            answer = pick(f"What of {made}?", lines, at="some" if self._browser else "all")
            if answer is Navigation.BACK:
                return Navigation.BACK
            if answer == "all":
                self._paths = ()
                return None
            if self._some(self._tree, f"{made} ({manifest.id[:8]})"):
                return None

    def _some(self, tree: Future[Tree], title: str) -> bool:
        """Let the user select files, or take a version of one; return whether they are done."""
        notice("reading the list of files …")
        labels = self.program.config.services[self.service].reads.labels
        # With a broken configuration, the path may be one of the faults.
        unknown = self.program.faults or self.service in self.program.adopted
        present = {} if unknown else labels
        self._browser = self._browser or Browser(tree.result(), title, present)
        while isinstance(answer := self._browser.ask(), str):
            notice("reading the versions …")
            if self._versions is None:
                self._versions = VersionPicker(AllBackups(self.program, listing=self._finder.look))
            if version := self._versions.pick(self.service, answer, self._opened().name):
                if version != self._opened().name:
                    self._switch(version, (answer,))
                self._paths = (answer,)
                return True
        self._paths = tuple(self._browser.ticks.paths)
        return answer is True

    def _where(self) -> Navigation | None:
        named = self.program.config.services[self.service].reads.named
        more = f" and {len(named) - 1} more" if len(named) > 1 else ""
        lines = [
            Line("a new folder; the service is not touched", "new"),
            Line(f"in place: {named[0]}{more}", "in place"),
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
            if target := ask_folder(
                self.service, self._opened().manifest, self._paths, self._target
            ):
                self._target = target
                return None

    def _sure(self) -> Navigation | None:
        opened = self._opened()
        notice("calculating what is read …")
        in_place = self._target is None
        if self._target is not None:  # one from the command line is not checked yet
            require_usable(self._target, self.service, opened.manifest.id, self._paths)
        preview = Preview(opened, self._paths, self.program.config)
        said = preview.in_place() if in_place else preview.to_folder(self._target or "")
        careful = in_place or preview.lacks_room
        return confirm_plan(said, "Restore?", "yes, restore", careful=careful)

    def _opened(self) -> OpenedBackup:
        if self.opened is None:
            notice("opening the backup …")
            chosen = choose(
                self.program, self.service, self._backup or "latest", self._given.source
            )
            self.opened = OpenedBackup(self.service, chosen, self.program.keys)
        return self.opened


def _away_lines(failed: dict[str, VaultError]) -> list[Line]:
    """Return a line for each destination that does not answer, with the reason."""
    return [
        Line(f"{name} does not answer: {str(error).rpartition('): ')[2]}")
        for name, error in failed.items()
    ]
