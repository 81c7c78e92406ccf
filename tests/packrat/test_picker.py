"""Screens of the picker in a real terminal of 80 by 24, compared with golden files."""

import shutil
from pathlib import Path

import pytest

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
        check("the plan", shown.until("Restore?", "download"))
        shown.keys("Enter")
        check("restored", shown.until("EXIT"))
    assert differences(filled.source, filled.root / "out") == []


def test_proven_backups_are_marked(filled):
    """After `verify --deep` the list shows which backups are proven."""
    assert filled.cli("verify", "--deep").returncode == 0
    with screen(filled, "restore", "gitea") as shown:
        assert shown.until("Which backup", "back").count("local, nas  proven") == 2
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
        check("the plan in place", shown.until("Restore?", "download"))
        shown.keys("Up", "Enter")  # the answer that overwrites is not the default
        check("restored in place", shown.until("EXIT"))
    assert (filled.source / "app.ini").read_bytes() == noise(3000)
    with screen(filled, "restore", "gitea") as shown:
        check("an undo is offered", shown.until("Which backup", "leave"))
        shown.keys("Up", "Up", "Enter")
        check("the plan of an undo", shown.until("Undo?", "back"))
        shown.keys("Up", "Enter")
        assert "EXIT 0" in shown.until("EXIT")
    assert (filled.source / "app.ini").read_bytes() == b"spoilt"


def test_some_files_by_ticking_searching_and_going_back(filled):
    """Ticks in two folders and in a search are kept while going back and forth."""
    with screen(filled, "restore", "gitea", "--to", str(filled.root / "out")) as shown:
        shown.until("Which backup")
        shown.keys("Enter")
        shown.until("What of")
        shown.keys("Down", "Enter")
        check("folders", shown.until("nothing selected yet"))
        shown.keys("Space")
        check("one is ticked", shown.until("done: 1 file"))
        shown.keys("Down", "Enter")
        check("inside a folder", shown.until("018.png"))
        shown.keys("Escape")
        shown.until("[x] app.ini")
        shown.keys("Up", "Up", "Up", "Enter")  # from the folder that was left
        shown.until("Search for")
        shown.keys("no such", "Enter")
        check("nothing is called so", shown.until("No name contains"))
        shown.keys("hEaD", "Enter")
        shown.until("2 found")
        shown.keys("Space")
        check("found", shown.until("[x] repos/one.git/HEAD"))
        shown.keys("Escape")
        shown.until("done: 2 files")
        shown.keys("Escape")
        shown.until("What of")
        shown.keys("Enter")
        shown.until("done: 2 files")
        shown.keys("Escape", "Escape")
        shown.until("Which backup")
        shown.keys("Enter")
        shown.until("What of")
        shown.keys("Enter")
        shown.until("done: 2 files")
        shown.keys("Enter")
        check("the plan of some", shown.until("Restore?", "download"))
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


def test_letters_select_lines_that_have_scrolled_out_of_view(filled):
    """Anywhere in a folder, `d` is done and `s` searches; a folder shows ticks inside."""
    with screen(filled, "restore", "gitea", "--to", str(filled.root / "out")) as shown:
        shown.until("Which backup")
        shown.keys("Enter")
        shown.until("What of")
        shown.keys("Down", "Enter")
        shown.until("nothing selected yet")
        shown.keys("d", "Down", "Enter")  # nothing is ticked, so `d` does nothing
        shown.until("000.png")
        shown.keys("Down", "Space")
        shown.until("done: 1 file")
        shown.keys("Escape")
        check("something in a folder is ticked", shown.until("[-] avatars/"))
        shown.keys("s")
        shown.until("Search for")
        shown.keys("Escape")
        shown.until("done: 1 file")
        shown.keys("d")
        assert "avatars/001.png" in shown.until("Restore?", "back")


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


def test_100_000_entries_are_quick_on_every_screen(large):
    """Folders, a folder of 50,000, its pages and a search appear without a full read."""
    with screen(large, "restore", "svc") as shown:
        shown.until("Which backup")
        shown.keys("Enter")
        shown.until("What of")
        took = {
            "browse": shown.seconds_until("nothing selected yet", "Down", "Enter"),
            "flat": shown.seconds_until("000002.dat", "Enter"),
            "tick": shown.seconds_until("done: 1 file", "Space"),
            "last": shown.seconds_until("next 100", "Up", "Up", "Up", "Up"),
            "page": shown.seconds_until("000102.dat", "Enter"),
        }
        shown.keys("Escape")
        shown.until("tree/")
        shown.keys("Up", "Up", "Enter")
        shown.until("Search for")
        took["search"] = shown.seconds_until("000123.dat", "0123", "Enter")
    # 0.02 to 0.25 s on an idle machine; the limit allows for a busy one.
    assert max(took.values()) < 10, took


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
        shown.until("Restore?", "download")
        shown.keys("Enter")
        assert "EXIT 0" in shown.until("EXIT")
    assert differences(filled.source, filled.root / "out") == []
