"""Services that are added to the text of a configuration."""

from pathlib import Path

import pytest

from specs.document import read_document
from specs.faults import ConfigFaults
from specs.insert_services import NewService, insert_services
from specs.rewrite import add_services

EXAMPLES = [
    path
    for path in sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
    if "\nbackup:" in path.read_text()
]
NEW = NewService("new", {"path": "/srv/new", "exclude": ["*.log", "123"]}, ("a comment\nof two",))
REST = "\nbackup: {local: {path: /mnt/b}}\nencryption: {key_file: /root/k}\nstate_dir: /root/s\n"
BLOCK = "services:\n  a:\n    path: /srv/a"


@pytest.mark.parametrize(
    ("text", "behind"),
    [
        (f"{BLOCK}{REST}", "    path: /srv/a\n"),
        (f"{BLOCK}  # of a\n    # of a, too\n\n# of backup{REST}", "    # of a, too\n"),
        (f"{BLOCK}\n    exclude: [x,\n      y]\n{REST}", "      y]\n"),
        (f"services:\n    a: {{path: /srv/a}}{REST}", "    a: {path: /srv/a}\n"),
        (f"x: &x /srv/a\nservices:\n  a:\n    path: *x{REST}".replace("x: &x", "host: &x"),
         "    path: *x\n"),
        (f"{REST}{BLOCK}", "    path: /srv/a\n"),
        (f"{REST}{BLOCK}\n    pre_backup:\n      command: |\n        true\n", "        true\n"),
        (f"{BLOCK}{REST}".replace("\n", "\r\n"), "    path: /srv/a\r\n"),
        (f"\ufeff{BLOCK}{REST}", "    path: /srv/a\n"),
        (f"services: {{a: {{path: /srv/a}}}}{REST}", "{a: {path: /srv/a}"),
        (f"services: {{\n  a: {{path: /srv/a}},\n}}{REST}", "{path: /srv/a},"),
    ],
)  # fmt: skip
def test_a_service_comes_behind_the_last_and_nothing_else_changes(tmp_path, text, behind):
    """The comment above the next section stays above it."""
    file = tmp_path / "packrat.yaml"
    file.write_bytes(text.encode())
    before = read_document(str(file)).data
    change = add_services(str(file), [NEW])
    change.write()
    after = file.read_bytes().decode()
    assert len(after) > len(text)
    at = text.index(behind) + len(behind) if behind in text else len(text)
    assert after.startswith(text[:at])
    assert after.endswith(text[at:].lstrip())
    data = read_document(str(file)).data
    assert data == before | {"services": before["services"] | {"new": NEW.settings}}
    assert list(data["services"]) == ["a", "new"]


def test_a_change_by_somebody_else_is_not_overwritten(tmp_path):
    file = tmp_path / "packrat.yaml"
    file.write_text(f"{BLOCK}{REST}")
    change = add_services(str(file), [NEW])
    file.write_text(f"# mine\n{BLOCK}{REST}")
    with pytest.raises(ConfigFaults, match="was changed meanwhile"):
        change.write()
    assert file.read_text().startswith("# mine")
    assert list(tmp_path.iterdir()) == [file]


def test_what_would_not_be_valid_is_not_written(tmp_path):
    """The faults name the real file, and its lines as they would be."""
    file = tmp_path / "packrat.yaml"
    file.write_text(f"{BLOCK}{REST}")
    with pytest.raises(ConfigFaults) as refused:
        add_services(str(file), [NewService("new", {"path": "/x", "shedule": "@daily"})]).write()
    assert str(refused.value).startswith(f"{file}:4:19: services.new.shedule: unknown key")
    assert file.read_text() == f"{BLOCK}{REST}"
    assert list(tmp_path.iterdir()) == [file]


def test_services_that_are_an_alias_are_refused_with_advice(tmp_path):
    file = tmp_path / "packrat.yaml"
    file.write_text(f"x: &x {{a: {{path: /srv/a}}}}\nservices: *x{REST}")
    with pytest.raises(ConfigFaults, match="write them by hand"):
        add_services(str(file), [NEW])


def test_a_link_keeps_leading_to_the_file(tmp_path):
    real, link = tmp_path / "real.yaml", tmp_path / "packrat.yaml"
    real.write_text(f"{BLOCK}{REST}")
    link.symlink_to(real)
    add_services(str(link), [NEW]).write()
    assert link.is_symlink()
    assert "new:" in real.read_text()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_line_of_an_example_stays_as_it_is(tmp_path, example):
    text = example.read_text()
    file = tmp_path / "packrat.yaml"
    file.write_text(insert_services(text, [NEW]))
    lines = file.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line.strip() == "new:")
    before, added = text.splitlines(), len(lines) - len(text.splitlines())
    assert [*lines[:at], *lines[at + added :]] == before
    data, old = (read_document(str(one)).data for one in (file, example))
    assert data == old | {"services": old["services"] | {"new": NEW.settings}}
