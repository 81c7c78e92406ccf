"""Attacks by a service's own user on a restore in the service's folder."""

import stat
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from stages.errors import TargetError
from tests.helpers.in_place import OLD, Place, look
from tests.helpers.needs import need

UID = 4242
SOURCE = Path(__file__).parents[1] / "stages" / "in_place" / "race.c"
MOVED_AWAY = ("Not a directory", "No such file", "is not the recorded file")
MODES = ("link", "own", "flip", "entries")


def compiled(folder: Path) -> Path:
    """Compile the attacker's program; return its path."""
    need("cc", "apt install gcc libc6-dev")
    program = folder / "race"
    subprocess.run(["cc", "-O2", "-w", "-o", program, SOURCE], check=True)
    program.chmod(0o755)
    return program


@contextmanager
def attacked(program: Path, folder: Path, target: Path, mode: str):
    """Run the attacker as the service's user while the context lasts."""
    words = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    with subprocess.Popen(
        [*words, program, folder, target, mode], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            child.kill()


def attempt(room: Path, program: Path, mode: str) -> bool:
    """Restore, undo and forget against an attacker; return whether the restore went through.

    Root's folder `etc` must stay unchanged, and root must be able to repair the service afterwards.
    """
    room.mkdir(mode=0o755)
    etc = room / "etc"
    etc.mkdir()
    (etc / "shadow").write_text("root:secret")
    (etc / "shadow").chmod(0o600)
    (etc / "a").write_text("root's own")
    before = look(etc)
    place = Place(room).fill()
    own(place.path)
    restored = False
    with attacked(program, place.path, etc, mode):
        with suppress(TargetError):
            place.restore()
            restored = True
        with suppress(TargetError, AssertionError):
            place.undo()
        place.recover()
    assert set(OLD.values()) <= place.everywhere(), f"{mode}: lost"
    settled = place.recover()
    assert set(OLD.values()) <= place.everywhere(), f"{mode}: lost by the recovery"
    if settled.owed:  # the user has moved a folder away into which something must go back
        assert mode == "entries"
        assert any(words in settled.owed[0] for words in MOVED_AWAY), settled
        with pytest.raises(TargetError, match="not finished"):
            place.forget()
    else:
        place.forget()
    assert look(etc) == before, f"{mode}: root's files have changed"
    assert no_link_into(place, before), f"{mode}: root's files have other owners"
    return restored


def own(folder: Path) -> None:
    """Chown a tree to the service's user."""
    subprocess.run(["chown", "-hR", f"{UID}:{UID}", folder], check=True)


def no_link_into(place: Place, before: dict[str, tuple[int, bytes, int, int]]) -> bool:
    """Return whether everything in `etc` still belongs to root."""
    etc = place.base / "etc"
    return all((etc / name).lstat().st_uid == 0 for name in before) and not any(
        stat.S_IMODE((etc / name).stat().st_mode) & stat.S_ISUID for name in before
    )
