"""Screens on terminals of 60, 80 and 120 columns, compared with a golden file."""

import re
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from rich.cells import cell_len

from packrat.runs.history import History
from packrat.text.layout import table_lines, wrap
from tests.helpers.command_line import packrat
from tests.helpers.house import House
from tests.helpers.terminal import plain
from tests.helpers.transcript import check_golden
from tests.helpers.trees import fill, noise

GOLDEN = Path(__file__).parent / "golden" / "screens.txt"
LONG = "nextcloud-of-the-whole-family-in-the-basement"
NAMES = ["documents", "broken", LONG, *(f"service-{number}" for number in range(17))]
WIDTHS = (60, 80, 120)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """Twenty services and three destinations; the second service always fails."""
    house = House(tmp_path_factory.mktemp("crowded"), ("local", "nas", "offsite-s3"), NAMES[0])
    fill(house.source, {"letter.txt": noise(5000, 1), "b/c": noise(90_000, 2)})
    document = yaml.safe_load(house.config_file.read_text())
    path = str(house.source)
    document["services"] = {name: {"path": path, "schedule": "0 2 * * *"} for name in NAMES}
    document["services"]["broken"] |= {"path": "/nowhere/to/be/found", "max_age": "1d"}
    house.config_file.write_text(yaml.safe_dump(document, sort_keys=False))
    packrat("-c", house.config_file, "backup", *NAMES[:3])
    with closing(History(str(house.state))) as history:
        assert {run.service for run in history.runs()} == set(NAMES[:3])
    return house, document


def with_services(crowded, count):
    house, document = crowded
    services = {name: document["services"][name] for name in NAMES[:count]}
    house.config_file.write_text(yaml.safe_dump(document | {"services": services}, sort_keys=False))
    return house


def shown(house, columns, *words, **env):
    done = packrat("-c", house.config_file, *words, columns=columns, env=env)
    return done.stdout


def steady(house, text):
    """Return a screen without what differs from run to run, but as wide as it was."""
    text = re.sub(r"\b[0-9a-f]{8}\b", "00000000", plain(text))
    return re.sub(r"\d", "0", text.replace(str(house.root), "ROOT"))


@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.parametrize("words", ["status", "list", "history"])
def test_tables_equal_the_golden_file_and_fit_the_terminal(crowded, words, count):
    house = with_services(crowded, count)
    whole = set(steady(house, shown(house, 400, words)).split())
    for columns in WIDTHS:
        screen = plain(shown(house, columns, words))
        assert max(map(cell_len, screen.splitlines())) <= columns
        screen = steady(house, screen)
        broken = {word for word in screen.split() if "…" not in word} - whole
        assert not broken, "nothing is broken inside a word"
        check_golden(GOLDEN, f"{words}, {count} services, {columns} columns", screen)


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_service_that_left_the_configuration_fits_the_terminal(crowded, columns):
    """Its backups, and what `forget` deletes: one of them, which nothing needs."""
    house, document = crowded
    with_services(crowded, 1)
    shown(house, columns, "backup", "documents", "--full")
    left = document["services"]["broken"]
    house.config_file.write_text(yaml.safe_dump(document | {"services": {"broken": left}}))
    said = [shown(house, columns, "list", "--all-services")]
    said.append(shown(house, columns, "list", "--all-services", "--all"))
    id_ = re.findall(r"documents +([0-9a-f]{8})", said[0])[0]
    said.append(shown(house, columns, "forget", "documents", id_, "--yes"))
    screen = plain("\n".join(said))
    assert max(map(cell_len, screen.splitlines())) <= columns
    check_golden(GOLDEN, f"a service that left, {columns} columns", steady(house, screen))


def test_failures_have_a_colour_and_without_colours_a_word(crowded):
    house = with_services(crowded, 3)
    coloured = shown(house, 80, "status", TERM="xterm-256color")
    assert re.search(r"\x1b\[1;31mfailed\x1b\[0m", coloured)
    assert re.search(r"\x1b\[1;31moverdue\x1b\[0m", coloured)
    bare = shown(house, 80, "status", TERM="xterm-256color", NO_COLOR="1")
    assert "31m" not in bare
    assert "failed" in bare
    assert "overdue" in bare
    assert "\x1b" not in packrat("-c", house.config_file, "status").stdout


def test_an_error_of_a_run_is_on_a_line_of_its_own(crowded):
    house = with_services(crowded, 3)
    lines = packrat("-c", house.config_file, "history", "broken").stdout.splitlines()
    assert lines[1].startswith("broken")
    assert lines[2].startswith("    services.broken: ") or "/nowhere/to/be/found" in lines[2]


@pytest.mark.parametrize("columns", WIDTHS)
def test_results_plans_and_the_recovery_sheet_break_at_words(crowded, columns):
    house = with_services(crowded, 1)
    commands = (("backup", "documents"), ("plan",), ("sheet",), ("status", "documents"))
    said = [shown(house, columns, *words) for words in commands]
    screen = plain("".join(said))
    lines = [line for line in screen.splitlines() if str(house.root) not in line]
    assert max(map(cell_len, lines)) <= columns
    assert "RECOVERY" in screen
    long = packrat("-c", house.config_file, "backup", "documents").stdout
    assert len(long.splitlines()) == 1, "a pipe gets whole lines"


def test_a_table_in_a_pipe_is_not_shortened():
    rows = [["a" * 200, "b, " * 90]]
    assert table_lines(["X", "Y"], rows)[1] == f"{'a' * 200}  {'b, ' * 90}".rstrip()


def test_columns_are_dropped_before_words_are_broken():
    rows = [["name", "one two", "x" * 20]]
    assert table_lines(["A", "B", "C"], rows, 20, drop=["C"]) == ["A     B", "name  one two"]


def test_wide_characters_count_twice():
    rows = [["日本語の名前", "ok"]]
    assert table_lines(["NAME", "RESULT"], rows, 40)[1] == "日本語の名前  ok"
    assert max(map(cell_len, table_lines(["NAME", "RESULT"], rows, 16))) <= 16


def test_a_broken_line_continues_below_its_text():
    assert wrap("  1. Install it now", 14) == ["  1. Install", "     it now"]
    assert wrap("name  one two three", 14) == ["name  one two", "      three"]
    assert wrap("unbreakable/path/that/is/long", 10) == ["unbreakable/path/that/is/long"]
