"""Tests of the tripwire stage: what it refuses, its warnings, and the contract of every kind."""

import pytest
from packrat_tripwire import Tripwire

from packrat.testing import Trial, pieces, require_contract, run_forward, run_inverse
from specs.faults import ConfigFaults
from stages.errors import SourceError

SECRET = b"-----BEGIN OPENSSH PRIVATE KEY-----"
ENTRY = {
    "kind": "tripwire",
    "after": "gather",
    "names": ["*.locked"],
    "text": ["BEGIN OPENSSH PRIVATE KEY"],
}
STAGE = Tripwire(names=("*.locked",), text=("BEGIN OPENSSH PRIVATE KEY",))


def test_contract(tmp_path):
    """Packrat requires this of every kind."""
    require_contract(tmp_path, ENTRY)


@pytest.mark.parametrize("after", ["source", "collect", "gather"])
def test_contract_at_other_positions(tmp_path, after):
    require_contract(tmp_path, ENTRY | {"after": after})


def test_harmless_files_pass_unchanged():
    items = pieces({"a": b"x", "b/c": b"y" * 100})
    assert run_forward(STAGE, items).items == items


@pytest.mark.parametrize("tree", [{"a/b.locked": b"x"}, {"a": b"x" * 50 + SECRET}])
def test_match_by_name_or_content_is_refused(tree):
    with pytest.raises(SourceError, match="1 files match"):
        run_forward(STAGE, pieces(tree))


@pytest.mark.parametrize("block", [1, 7, 30, 51])
def test_text_across_pieces_is_found(block):
    with pytest.raises(SourceError, match="1 files match: a"):
        run_forward(STAGE, pieces({"a": b"x" * 50 + SECRET}, block))


def test_allowed_number_of_matches_passes():
    stage = STAGE.model_copy(update={"allow": 1})
    run_forward(stage, pieces({"a.locked": b"x"}))
    with pytest.raises(SourceError, match="2 files match"):
        run_forward(stage, pieces({"a.locked": b"x", "b.locked": b"x"}))


def test_restore_warns_and_passes_pieces_on():
    items = pieces({"a": SECRET, "b": b"x"})
    ran = run_inverse(STAGE, items)
    assert ran.items == items
    [warning] = ran.warnings
    assert "1 files match: a" in warning


def test_stage_that_looks_for_nothing_is_refused_with_its_line(tmp_path):
    with pytest.raises(ConfigFaults, match=r":\d+:\d+: .*needs names or text to look for"):
        Trial(tmp_path, [{"kind": "tripwire", "after": "gather"}]).pipeline()


def test_refused_backup_is_not_published(tmp_path):
    trial = Trial(tmp_path, [ENTRY], {"id_ed25519": SECRET})
    result = trial.back_up()
    assert result.status == "failed"
    assert "1 files match: id_ed25519" in result.error
    assert not list((tmp_path / "store").rglob("*.packrat"))


def test_restore_of_an_older_backup_warns(tmp_path):
    """The backup was made before the stage was added."""
    tree = {"note.locked": b"pay"}
    trial = Trial(tmp_path, [ENTRY | {"allow": 1}], tree)
    assert trial.back_up().status == "done"
    strict = Trial(tmp_path / "other", [ENTRY], tree)
    (tmp_path / "other" / "store").symlink_to(tmp_path / "store")
    restored = strict.restore("out")
    assert any("note.locked" in warning for warning in restored.warnings)
    assert (tmp_path / "other" / "out" / "note.locked").read_bytes() == b"pay"
