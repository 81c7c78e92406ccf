"""Screens of the picker in a real terminal of 80 by 24, compared with golden files."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.helpers.disks import disk
from tests.helpers.house import PASSWORD, House, cheap_keys
from tests.helpers.screen import screen
from tests.helpers.transcript import check_golden
from tests.helpers.trees import differences, noise
from tests.tiny_writer import Draft
from vault.archive.key_file import write_key_file

GOLDEN = Path(__file__).parent / "golden" / "picker.txt"


def check(title, said):
    check_golden(GOLDEN, title, said)


def test_a_restore_to_a_new_folder_through_every_step(filled):
    """Service, backup, everything, a folder, the plan, yes: all files are restored."""
    with screen(filled, "restore", env="NO_COLOR=1") as shown:
        check("which service", shown.until("which service?", "leave"))
        shown.keys("Enter")
        check("which backup", shown.until("Which backup", "back"))
        shown.keys("Enter")
        check("what of it", shown.until("What of", "back"))
        shown.keys("Enter")
        check("where to", shown.until("Where to?"))
        shown.keys("Enter")
        check("which folder", shown.until("Which folder?"))
        shown.keys("C-u", str(filled.root / "out"), "Enter")
        check("the plan", shown.until("Restore?", "back"))
        shown.keys("Enter")
        check("restored", shown.until("EXIT"))
    assert differences(filled.source, filled.root / "out") == []


def test_backups_are_marked_as_newest_verified_and_damaged(filled):
    """After `verify --deep` the list shows what was read back, and what is damaged."""
    oldest = min(filled.stores["nas"].glob("gitea/*.packrat"))
    data = bytearray(oldest.read_bytes())
    data[len(data) // 2] ^= 1
    oldest.write_bytes(data)
    assert filled.cli("verify", "--deep").returncode == 4
    with screen(filled, "restore", "gitea", size=(120, 24)) as shown:
        check("verified and damaged", shown.until("Which backup", "back"))
        shown.keys("Escape")
        shown.until("EXIT 130")


def test_a_restore_in_place_through_every_step_and_its_undo(filled):
    """The plan announces the replaced folder, and the picker offers to put it back."""
    (filled.source / "app.ini").write_bytes(b"spoilt")
    with screen(filled, "restore", "gitea", "--backup", "latest") as shown:
        shown.until("What of")
        shown.keys("Enter")
        shown.until("Where to?")
        shown.keys("Down", "Enter")
        check("the plan in place", shown.until("Restore?", "back"))
        shown.keys("Up", "Enter")  # the answer that overwrites is not the default
        check("restored in place", shown.until("EXIT"))
    assert (filled.source / "app.ini").read_bytes() == noise(3000)
    with screen(filled, "restore", "gitea") as shown:
        check("an undo is offered", shown.until("Which backup", "leave"))
        shown.keys("End", "Up", "Enter")
        check("the plan of an undo", shown.until("Undo?", "back"))
        shown.keys("Up", "Enter")
        assert "EXIT 0" in shown.until("EXIT")
    assert (filled.source / "app.ini").read_bytes() == b"spoilt"


def test_some_files_by_ticking_filtering_and_going_back(filled):
    """Ticks in two folders and under a filter are kept while going back and forth."""
    with screen(filled, "restore", "gitea", "--to", str(filled.root / "out")) as shown:
        shown.until("Which backup")
        shown.keys("Enter")
        shown.until("What of")
        shown.keys("Down", "Enter")
        check("folders", shown.until("nothing selected yet"))
        shown.keys("d")
        shown.until("nothing is selected yet: press space")
        shown.keys("Space")
        check("one is ticked", shown.until("1 file, 2.9 KiB selected"))
        shown.keys("j", "Enter")
        check("inside a folder", shown.until("↓ 13 more"))
        shown.keys("Escape")
        shown.until("» [ ] avatars/")  # the folder that was left
        shown.keys("/", "no such", "Enter")
        check("nothing is called so", shown.until("(0 found)", "esc back"))
        shown.keys("Escape", "/", "hEaD", "Enter")
        shown.until("(2 found)", "esc back")
        shown.keys("Space")
        check("found", shown.until("[x] repos/one.git/HEAD"))
        shown.keys("Escape")
        shown.until("[-] repos/", "2 files, 2.9 KiB selected")
        shown.keys("q")
        shown.until("What of")
        shown.keys("Enter")
        shown.until("2 files, 2.9 KiB selected")
        shown.keys("Escape", "Escape")
        shown.until("Which backup")
        shown.keys("Enter")
        shown.until("What of")
        shown.keys("Enter")
        shown.until("2 files, 2.9 KiB selected")
        shown.keys("d")
        check("the plan of some", shown.until("Restore?", "back"))
        shown.keys("Enter")
        shown.until("EXIT 0")
    found = sorted(p.relative_to(filled.root / "out") for p in (filled.root / "out").rglob("*"))
    assert [str(p) for p in found] == ["app.ini", "repos", "repos/one.git", "repos/one.git/HEAD"]


def test_a_destination_that_is_away_is_named_and_the_other_serves(filled):
    """One away causes a note on the screen; both away cause the usual message and exit 4."""
    shutil.move(filled.stores["local"], filled.root / "unplugged")
    filled.stores["local"].write_text("")
    with screen(filled, "restore") as shown:
        check("one is away", shown.until("which service?", "does not answer"))
        shown.keys("Enter")
        check("backups of the other", shown.until("Which backup"))
        shown.keys("Enter")
        shown.until("What of")
        shown.keys("Down", "Enter")
        shown.until("nothing selected yet")
        shown.keys("v")
        shown.until("Restore which version of app.ini", "the oldest")
    shutil.rmtree(filled.stores["nas"])
    filled.stores["nas"].write_text("")
    with screen(filled, "restore", "gitea") as shown:
        check("both are away", shown.until("EXIT"))


def test_no_backups_at_all(root):
    """A message with advice appears instead of an empty list."""
    house = House(root, service="gitea")
    with screen(house, "restore") as shown:
        check("no backup of any service", shown.until("no backup yet"))
        shown.keys("Enter")
        check("no backup of this one", shown.until("EXIT"))


def test_another_key_is_asked_for_its_password(filled):
    """Locked backups are marked; a wrong password is reported; the right one restores once."""
    filled.key_file.unlink()
    write_key_file(str(filled.key_file), cheap_keys("another"))
    key = filled.key_file.read_bytes()
    with screen(filled, "restore", "--to", str(filled.root / "out")) as shown:
        check("under another key", shown.until("which service?", "another key"))
        shown.keys("Enter")
        check("locked", shown.until("locked"))
        shown.keys("Enter")
        check("its password", shown.until("Password, for"))
        shown.keys("wrong", "Enter")
        check("not its password", shown.until("Wrong password"))
        shown.keys(PASSWORD, "Enter")
        shown.until("What of")
        shown.keys("Enter")
        shown.until("Restore?")
        shown.keys("Enter")
        shown.until("EXIT 0")
    assert differences(filled.source, filled.root / "out") == []
    assert filled.key_file.read_bytes() == key


def test_a_target_that_is_not_empty_is_refused_at_once(filled):
    """The reason appears at the prompt where it is typed."""
    with screen(filled, "restore", "gitea", "--backup", "latest", "--path", "late") as shown:
        shown.until("Where to?")
        shown.keys("Enter")
        shown.until("Which folder?")
        shown.keys("C-u", str(filled.source), "Enter")
        check("a folder that is taken", shown.until("is not empty"))


def test_impossible_options_are_refused_before_the_plan(filled):
    """A missing path or a `--to` folder that is not empty is an error without a question."""
    words = ("restore", "gitea", "--backup", "latest", "--to")
    with screen(filled, *words, str(filled.root / "out"), "--path", "nowhere") as shown:
        check("a path that is not there", shown.until("EXIT"))
    with screen(filled, *words, str(filled.source), "--path", "late") as shown:
        check("a given folder that is taken", shown.until("EXIT"))


def test_a_long_plan_fits_the_screen_and_shows_full_paths(filled):
    """Many paths and a deep target are wrapped, not cut, and every answer is visible."""
    deep = filled.root / "a-folder-with-a-name-that-is-long" / "and-another-one-that-is-so-too"
    paths = [f"--path=avatars/{number:03}.png" for number in range(12)]
    with screen(filled, "restore", "gitea", "--backup", "latest", "--to", str(deep), *paths) as s:
        check("a long plan", s.until("Restore?", "yes, restore", "back"))
        s.keys("C-c")
        s.until("EXIT 130")


def test_the_plan_says_download_unless_the_destination_is_a_local_disk(filled):
    """The download is larger than the one small file, and the plan says why."""
    document = yaml.safe_load(filled.config_file.read_text())
    remote = {"type": "fsspec", "url": f"local://{filled.stores['nas']}"}
    document["backup"]["destinations"] = {"remote": remote}
    filled.config_file.write_text(yaml.safe_dump(document))
    words = ("restore", "gitea", "--backup", "latest", "--path", "late", "--to", "out")
    with screen(filled, *words) as shown:
        plan = shown.until("Restore?", "back")
        assert re.search(r"\n   download .* from remote\n +more than was chosen", plan)


def test_a_target_without_room_preselects_no(filled):
    """The plan says what is needed and free, and Enter restores nothing."""
    with disk(filled.root / "small", "size=48k") as small:
        words = (
            "restore",
            "gitea",
            "--backup",
            "latest",
            "--path",
            "/",
            "--to",
            str(small / "out"),
        )
        with screen(filled, *words) as shown:
            check("no room", shown.until("Restore?", "back"))
            shown.keys("Enter")
            assert shown.until("EXIT") == "nothing was restored\nEXIT 130\n"
        assert list(small.iterdir()) == []


def test_a_terminal_without_cursor_movement_causes_a_usage_error(filled):
    """With TERM=dumb the error names the flags."""
    with screen(filled, "restore", env="TERM=dumb") as shown:
        check("a dumb terminal", shown.until("EXIT"))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A backup of 100,000 entries, half of them in one folder."""
    house = House(tmp_path_factory.mktemp("large"))
    names = [f"tree/{number // 500:03}/{number:06}" for number in range(50_000)]
    names += [f"flat/{number:06}.dat" for number in range(49_898)]
    folders = ["tree", "flat", *sorted({name.rpartition("/")[0] for name in names[:50_000]})]
    plain = {"mode": 0o644, "uid": 0, "gid": 0, "mtime": 10**18, "ctime": 10**18, "inode": 10**6}
    draft = Draft(cheap_keys().master)
    entries = [{"path": name, "type": "dir"} | plain for name in folders]
    draft.index([*entries, *({"path": name} | plain for name in names)], block=128)
    draft.manifest["normal"] = [0, 0]
    draft.save(house.store)
    assert draft.manifest["entries"] == 100_000
    return house


def test_a_folder_of_50_000_files_is_quick_on_every_key(large):
    """Opening, paging, filtering and selecting all of 50,000 redraw at once."""
    with screen(large, "restore", "svc") as shown:
        shown.until("Which backup")
        shown.keys("Enter")
        shown.until("What of")
        took = {
            "browse": shown.seconds_until("nothing selected yet", "Down", "Enter"),
            "open": shown.seconds_until("1 of 49,898", "Enter"),
            "page": shown.seconds_until("18 of 49,898", "PageDown"),
            "end": shown.seconds_until("49,898 of 49,898", "End"),
            "up": shown.seconds_until("49,897 of 49,898", "k"),
            "filter": shown.seconds_until("(1 found)", "/", "49123"),
            "pattern": shown.seconds_until("(4,990 found)", "C-u", "*7.dat", "Enter"),
            "all": shown.seconds_until("4,990 files, 0 B selected", "a"),
        }
    # 0.01 to 0.2 s on an idle machine, most of it in tmux; the limit allows for a busy one.
    assert max(took.values()) < 5, took


def test_a_service_that_left_the_configuration_is_restored_to_a_folder(filled):
    """It is marked, and in place is not offered: the folder is not known any more."""
    text = filled.config_file.read_text()
    filled.config_file.write_text(text.replace("  gitea:\n", "  forgejo:\n"))
    with screen(filled, "restore", env="NO_COLOR=1") as shown:
        check("a service that left", shown.until("which service?", "leave"))
        shown.keys("Down", "Enter")
        shown.until("Which backup", "back")
        shown.keys("Enter")
        shown.until("What of", "back")
        shown.keys("Enter")
        assert "in place" not in shown.until("Where to?", "back")
        shown.keys("Enter")
        shown.until("Which folder?")
        shown.keys("C-u", str(filled.root / "out"), "Enter")
        shown.until("Restore?", "back")
        shown.keys("Enter")
        assert "EXIT 0" in shown.until("EXIT")
    assert differences(filled.source, filled.root / "out") == []
