"""A restore into a folder that somebody else owns touches nothing outside it, and is durable."""

import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from stages.errors import TargetError
from stages.restore_target import target as target_module
from stages.restore_target.attributes import set_attributes
from stages.restore_target.resume import Marker
from stages.restore_target.target import Target
from tests.helpers.attackers import UID, own
from tests.helpers.forked import ended, forked
from tests.helpers.house import House
from tests.helpers.in_place_faults import PowerCut
from tests.helpers.needs import need
from tests.helpers.trees import differences, fill, noise
from vault.archive.format import Entry

pytestmark = pytest.mark.root
MARKER = Marker("svc", "1" * 32, ())
FIFOS = 400


def opened(path, marker):
    """Open a target, which is made if it does not exist."""
    target = Target(path, marker)
    target.make()
    return target


@pytest.fixture
def room():
    """A folder that other users can reach."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def users(room):
    """A target folder that belongs to another user."""
    folder = room / "target"
    folder.mkdir()
    os.chown(folder, UID, UID)
    return folder


def test_a_marker_that_is_a_symlink_is_not_followed(room, users):
    (room / "shadow").write_text("root:secret")
    (users / MARKER.name).symlink_to(room / "shadow")
    with pytest.raises(TargetError, match="unfinished restore of another"):
        opened(str(users), MARKER)
    assert (room / "shadow").read_text() == "root:secret"


def test_a_marker_that_is_a_fifo_does_not_hang(users):
    os.mkfifo(users / MARKER.name)
    with pytest.raises(TargetError):
        opened(str(users), MARKER)


def test_a_marker_that_another_user_forged_is_not_believed(users):
    with opened(str(users), MARKER) as target:
        target.claim()
    content = (users / MARKER.name).read_bytes()
    (users / MARKER.name).unlink()
    (users / MARKER.name).write_bytes(content)
    fill(users, {"mine": b"1"})
    assert opened(str(users), MARKER).again
    os.chown(users / MARKER.name, UID, UID)
    with pytest.raises(TargetError):
        opened(str(users), MARKER)


def test_the_owner_is_kept_out_while_the_folder_is_filled(users):
    with opened(str(users), MARKER) as target:
        target.claim()
        found = os.stat(users)
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o700)

        def child():
            os.setgroups([])
            os.setuid(UID)
            try:
                os.listdir(users)
            except PermissionError:
                return 7
            return 0

        assert ended(forked(child)) == 7


def test_a_file_that_came_between_look_and_claim_refuses_the_folder_and_gives_it_back(users):
    with opened(str(users), MARKER) as target:
        fill(users, {"mine": b"1"})
        with pytest.raises(TargetError, match="is not empty"):
            target.claim()
    found = os.stat(users)
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (UID, 0o755)
    assert os.listdir(users) == ["mine"]


def test_a_parent_that_is_exchanged_after_the_look_does_not_redirect_the_restore(room):
    """As in security/29: `d` becomes a symlink to root's folder once the target was judged."""
    (room / "home" / "d" / "out").mkdir(parents=True)
    own(room / "home")
    (room / "etc" / "out").mkdir(parents=True)
    with opened(str(room / "home" / "d" / "out"), MARKER) as target:
        (room / "home" / "d").rename(room / "home" / "was")
        (room / "home" / "d").symlink_to(room / "etc")
        target.claim()
    assert os.listdir(room / "etc" / "out") == []
    assert os.listdir(room / "home" / "was" / "out") == [MARKER.name]


def test_a_symlink_in_the_path_that_a_user_made_is_refused(room):
    (room / "home").mkdir()
    (room / "etc" / "out").mkdir(parents=True)
    (room / "home" / "d").symlink_to(room / "etc")
    own(room / "home")
    with pytest.raises(TargetError, match="which another user can change"):
        opened(str(room / "home" / "d" / "out"), MARKER)


def test_the_mode_of_a_fifo_never_reaches_what_a_user_puts_in_its_place(room):
    """As in security/07, by the program of the case: a user who exchanges new fifos for links."""
    need("cc", "apt install gcc libc6-dev")
    source = Path(__file__).parent / "swap_fifos.c"
    subprocess.run(["cc", "-O2", "-w", "-o", room / "swap", source], check=True)
    (room / "swap").chmod(0o755)
    (room / "shadow").write_text("root:secret")
    (room / "shadow").chmod(0o600)
    house = House(room / "house")
    for number in range(FIFOS):
        os.mkfifo(house.source / f"p{number:04}")
        (house.source / f"p{number:04}").chmod(0o666)
    house.backed_up()
    (room / "out").mkdir()
    os.chown(room / "out", UID, UID)
    words = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    with subprocess.Popen(
        [*words, room / "swap", room / "out", room / "shadow"], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        done = house.cli("restore", "svc", "--to", str(room / "out"), "--yes")
        child.kill()
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((room / "shadow").stat().st_mode) == 0o600
    assert all(stat.S_ISFIFO(p.lstat().st_mode) for p in (room / "out").iterdir())


def test_setuid_and_setgid_go_where_the_owner_cannot_be_set(users):
    """As rescue.py does: another's program would get the rights of whoever restores."""
    entries = {
        "roots": Entry("roots", type="file", mode=0o6755, uid=0, gid=0, mtime=1),
        "mine": Entry("mine", type="file", mode=0o4755, uid=UID, gid=UID, mtime=1),
    }

    def child():
        os.setgroups([])
        os.setgid(UID)
        os.setuid(UID)
        folder = os.open(users, os.O_RDONLY)
        said = {}
        for name, entry in entries.items():
            fd = os.open(name, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=folder)
            said[name] = set_attributes(entry, name, folder, fd)
        assert said == {"roots": ["owner", "setuid or setgid"], "mine": []}
        return 0

    assert ended(forked(child)) == 0
    assert stat.S_IMODE((users / "roots").stat().st_mode) == 0o755
    assert stat.S_IMODE((users / "mine").stat().st_mode) == 0o4755


def test_a_restore_that_ended_well_survives_a_power_cut(tmp_path):
    """As in faults/powerto.py: the image is copied the moment the command has ended."""
    house = House(tmp_path / "house")
    fill(house.source, {f"d{n % 5}/f{n}": noise(20_000, n) for n in range(60)})
    house.backed_up()
    with PowerCut(tmp_path) as power:
        out = power.disk / "out"
        done = house.cli("restore", "svc", "--to", str(out), "--yes")
        assert done.returncode == 0, done.stderr
        with power.snapshot() as after:
            assert differences(house.source, after / "out") == []


def test_the_marker_goes_only_after_the_data_are_on_the_disk(users, monkeypatch):
    order = []
    monkeypatch.setattr(target_module.linux, "syncfs", lambda _: order.append("sync"))
    monkeypatch.setattr(Marker, "remove", lambda *_: order.append("marker"))
    with opened(str(users), MARKER) as target:
        target.claim()
        target.finish(whole=True)
    assert order == ["sync", "marker"]
