"""Faults in `stages:` of a service: reported at once, each with line and column."""

import re

import pytest

from specs.faults import ConfigFaults
from specs.load import load_config
from tests.helpers.packages import install

UNFIT = """
class Plain:
    kind = "plain"

class Other(Link):
    kind: ClassVar[str] = "another"

class Held(Scope):
    kind: ClassVar[str] = "held"

class Leak(Stage):
    kind: ClassVar[str] = "leak"
    takes: ClassVar[type | None] = Piece
    gives: ClassVar[type | None] = Segment

class Taken(Link):
    kind: ClassVar[str] = "taken"
    after: str = ""
"""


@pytest.fixture
def faults(tmp_path, monkeypatch, site):
    """Return the faults of a configuration with these stages."""
    monkeypatch.chdir(tmp_path)

    def faults(*stages, more=""):
        lines = [f"    - {stage}" for stage in stages]
        text = f"backup: {{local: {{path: /mnt}}}}\nservices:\n  a:\n    path: /srv/a\n{more}"
        (tmp_path / "f.yaml").write_text("\n".join([text + "    stages:", *lines]) + "\n")
        with pytest.raises(ConfigFaults) as caught:
            load_config("f.yaml")
        return [str(fault) for fault in caught.value.faults]

    return faults


def test_unknown_kind_is_refused_with_the_nearest_one(faults):
    assert faults("{kind: virus_scann, after: gather}") == [
        (
            "f.yaml:6:14: services.a.stages[0].kind: there is no stage kind 'virus_scann';"
            " did you mean 'virus_scan'?"
        )
    ]
    assert faults("{kind: nothing_like_it, after: gather}") == [
        (
            "f.yaml:6:14: services.a.stages[0].kind: there is no stage kind 'nothing_like_it';"
            " install the package that has it, or remove the entry: restores do not need it"
        )
    ]


def test_built_in_kind_is_refused(faults):
    [fault] = faults("{kind: chunk, after: gather}")
    assert "f.yaml:6:14" in fault
    assert "chunk is built in" in fault


def test_invalid_parameters_are_refused_with_their_position(faults):
    assert faults(
        "{kind: virus_scan, after: gather, level: 12}",
        "{kind: virus_scan, after: gather, levle: 2}",
    ) == [
        "f.yaml:6:48: services.a.stages[0].level: too large; write at most 9",
        "f.yaml:7:41: services.a.stages[1].levle: unknown key; did you mean 'level'?",
    ]


def test_unknown_anchor_is_refused_with_the_nearest_one(faults):
    assert faults("{kind: virus_scan, after: colect}") == [
        (
            "f.yaml:6:33: services.a.stages[0].after: there is no stage 'colect' in this pipeline;"
            " did you mean 'collect'?"
        )
    ]
    [fault] = faults("{kind: virus_scan, before: start}")
    assert "f.yaml:6:34: services.a.stages[0].before: there is no stage 'start'" in fault


@pytest.mark.parametrize("where", ["", ", after: gather, before: chunk"])
def test_entry_needs_exactly_one_anchor(faults, where):
    [fault] = faults(f"{{kind: virus_scan{where}}}")
    assert "f.yaml:6:7: services.a.stages[0]: needs one of after and before" in fault


@pytest.mark.parametrize(
    "where",
    ["after: survey", "before: survey", "before: source", "after: base"]
    + [f"after: {name}" for name in ("chunk", "pack", "compress", "encrypt")],
)
def test_position_where_no_files_flow_is_refused(faults, where):
    [fault] = faults(f"{{kind: virus_scan, {where}}}")
    assert fault.startswith("f.yaml:6:7: services.a.stages[0]: ")
    assert "a stage of another package cannot stand where" in fault


def test_all_faults_are_reported_at_once(faults):
    found = faults(
        "{kind: virus_scan, after: colect}",
        "{kind: virus_scan, after: pack}",
        "{kind: virus_scan, before: nothing}",
    )
    assert [fault.split(":")[1] for fault in found] == ["6", "7", "8"]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("plain", "not a subclass of engine.stage.Stage"),
        ("other", "its `kind` is not 'other'"),
        ("held", "a scope or a fan-out cannot be added"),
        ("leak", "it must be a Link, or take Piece and give Piece"),
        ("taken", "a parameter cannot be called after"),
    ],
)
def test_kind_that_does_not_fit_is_refused(faults, site, kind, why):
    """`leak` would take plaintext past the encryption."""
    install(site, UNFIT, "plain", "other", "held", "leak", "taken")
    [fault] = faults(f"{{kind: {kind}, after: gather}}")
    assert "f.yaml:6:14: services.a.stages[0].kind" in fault
    assert why in fault


def test_package_that_cannot_be_imported_is_refused_with_its_error(faults, site):
    install(site, "import no_such_module\n", "broken")
    [fault] = faults("{kind: broken, after: gather}")
    assert re.search(
        r"stage kind 'broken' of package added_\d+ cannot be used: ModuleNotFoundError", fault
    )
