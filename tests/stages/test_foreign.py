"""Stage kinds of other packages: what they may be, and where they are allowed."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from engine.graph import GraphFaults
from packrat.restore.choose import choose
from packrat.runs.repair import put_back
from packrat.testing import Trial, require_contract, tree_of
from specs.compile import compile_prune, compile_restore
from specs.pipeline import load_pipelines, to_yaml
from specs.schema import config_schema
from stages.journal import Journal
from stages.kinds import KINDS, all_kinds
from tests.helpers.house import House
from tests.helpers.packages import install
from tests.helpers.restoring import restore
from tests.helpers.trees import fill

ROOT = Path(__file__).parents[2]

CHANGE = """
from vault.archive.format import Entry, order

class Sieve(Stage):
    "Drop files that end with .tmp, and add one called READ.ME."
    kind: ClassVar[str] = "sieve"
    takes: ClassVar[type | None] = Piece
    gives: ClassVar[type | None] = Piece

    def forward(self, items, run):
        added = Piece(Entry(path="READ.ME", mode=0o644, size=5), 0, b"hello")
        for item in items:
            if added and order(item.entry.name) > order("READ.ME"):
                yield added
                added = None
            if not item.kept and item.entry.name.endswith(".tmp"):
                continue
            if not item.kept and item.entry.name == "READ.ME":
                continue
            yield item
        if added:
            yield added
"""
HOLD = """
from stages.journal import Journaled

class Hold(Link, Journaled):
    kind: ClassVar[str] = "hold"
    file: str = "/tmp/held"

    def put_back(self, found, secret, locks, log):
        open(self.file, "w").close()
        return f"put back {found['what']}"
"""


def house_with(root, *stages, **more):
    return House(root, settings={"stages": list(stages)}, **more)


def test_document_is_checked_as_the_configuration_is(site, tmp_path):
    """A pipeline document may be written or changed by hand."""
    house = house_with(tmp_path, {"kind": "virus_scan", "after": "gather"})
    file = tmp_path / "p.yaml"
    file.write_text(to_yaml([house.pipeline()]))
    [pipeline] = load_pipelines(str(file))
    assert pipeline == house.pipeline()
    stages = pipeline.stages | {"virus_scan": {"kind": "virus_scan", "after": ["pack"]}}
    stages["compress"] = {"kind": "compress", "after": ["virus_scan"]}
    stages["chunk"] = {"kind": "chunk", "after": ["gather"]}
    with pytest.raises(GraphFaults, match="cannot stand where Segment items flow"):
        pipeline.model_copy(update={"stages": stages}).graph()


def test_document_with_a_package_that_is_broken_or_gone_is_refused(site, tmp_path):
    """The message names the stage, and the package that has to be repaired."""
    stages = {"x": {"kind": "broken", "after": ["gather"]}, "chunk": {"kind": "chunk"}}
    pipeline = House(tmp_path).pipeline()
    stages["chunk"]["after"] = ["x"]
    pipeline = pipeline.model_copy(update={"stages": pipeline.stages | stages})
    with pytest.raises(GraphFaults, match="x: unknown stage kind 'broken'"):
        pipeline.graph()
    install(site, "import no_such_module", "broken")
    with pytest.raises(GraphFaults, match=r"x: stage kind 'broken' of package added_\d+ cannot"):
        pipeline.graph()


def test_entry_points_are_not_read_without_a_foreign_kind(house, monkeypatch):
    """Reading the metadata of all packages would slow down every command."""

    real = importlib.metadata.entry_points

    def read(**words):
        if words.get("group") == "packrat.stages":  # fsspec reads its own group
            raise AssertionError("entry points were read")
        return real(**words)

    monkeypatch.setattr("importlib.metadata.entry_points", read)
    fill(house.source, {"a": b"x"})
    house.backed_up()
    house.restore()
    with pytest.raises(AssertionError, match="were read"):
        all_kinds()


def test_all_kinds_has_built_in_and_installed_kinds(site):
    names = [kind.kind for kind in all_kinds()]
    assert set(names) >= {"virus_scan", *(kind.kind for kind in KINDS)}
    assert len(set(names)) == len(names)


def test_schema_has_the_parameters_of_installed_kinds(site):
    from jsonschema import Draft202012Validator

    schema = Draft202012Validator(config_schema())

    def accepts(**stage):
        service = {"path": "/srv/a", "stages": [stage]}
        document = {"services": {"a": service}, "backup": {"local": {"path": "/mnt"}}}
        return schema.is_valid(document)

    assert accepts(kind="virus_scan", after="gather", level=2)
    assert not accepts(kind="virus_scan", after="gather", level=12)
    assert not accepts(kind="virus_scan", after="gather", levle=2)
    assert not accepts(kind="virus_scann", after="gather")


def order(pipeline):
    return [node.name for node in pipeline.graph().order]


def test_stages_are_inserted_at_their_configured_position(site, tmp_path):
    """The same kind twice, one next to another, at one destination and at each."""
    house = house_with(
        tmp_path,
        {"kind": "virus_scan", "after": "collect"},
        {"kind": "virus_scan", "before": "chunk"},
        {"kind": "virus_scan", "before": "virus_scan"},
        {"kind": "virus_scan", "after": "upload"},
        {"kind": "virus_scan", "before": "confirm:two"},
        {"kind": "virus_scan", "after": "spool"},
        destinations=("one", "two"),
    )
    graph = house.pipeline().graph()
    before = {node.name: [n.name for n in graph.before(node.name)] for node in graph.order}
    assert before["virus_scan-3"] == ["collect"]
    assert before["virus_scan"] == ["virus_scan-3"]
    assert before["gather"] == ["virus_scan"]
    assert before["virus_scan-2"] == ["gather"]
    assert before["chunk"] == ["virus_scan-2"]
    assert before["confirm:one"] == ["virus_scan-4:one"]
    assert before["virus_scan-5:two"] == ["virus_scan-4:two"]
    assert before["confirm:two"] == ["virus_scan-5:two"]
    assert before["catch_up:one"] == ["virus_scan-6:one"]
    assert before["virus_scan-6:two"] == ["spool"]
    fill(house.source, {"a": b"x", "b/c": b"y"})
    house.backed_up()
    house.restore()


def test_stage_at_one_destination_does_not_hinder_a_restore_from_another(site, tmp_path):
    house = house_with(
        tmp_path,
        {"kind": "virus_scan", "after": "upload:one"},
        destinations=("one", "two"),
    )
    config = house.program.config
    assert "scan_again:one" in labels(compile_restore(config, "svc", "latest", "one"))
    assert "scan_again:two" not in labels(compile_restore(config, "svc", "latest", "two"))


def test_stage_that_fails_at_one_destination_keeps_it_from_that_one_only(site, tmp_path):
    """This is like any failure of a destination; the other one has the backup."""
    source = """
    class Gate(Link):
        kind: ClassVar[str] = "gate"

        def forward(self, items, run):
            for item in items:
                raise SourceError("the gate is closed")
                yield item
    """
    install(site, source, "gate")
    house = house_with(
        tmp_path, {"kind": "gate", "after": "upload:two"}, destinations=("one", "two")
    )
    fill(house.source, {"a": b"x"})
    result = house.back_up()
    assert result.status == "partial"
    assert len(house.catalog("one").backups) == 1
    assert not list((tmp_path / "store" / "two").rglob("*.packrat"))


def labels(pipeline):
    return [node.label for node in pipeline.graph().order]


def test_restore_runs_the_inverse_in_place_and_to_a_folder(site, tmp_path):
    """It runs between proof and writing, or after the writing, mirroring its position."""
    house = house_with(
        tmp_path,
        {"kind": "virus_scan", "after": "gather"},
        {"kind": "virus_scan", "after": "source"},
    )
    config = house.program.config
    back = labels(compile_restore(config, "svc", "latest", "local", to="/tmp/x"))
    assert back[-4:] == ["prove", "scan_again", "write", "scan_again"]
    back = labels(compile_restore(config, "svc", "latest", "local"))
    assert back[-5:] == ["prove", "scan_again", "write", "swap", "scan_again"]
    fill(house.source, {"a": b"old"})
    house.backed_up()
    (house.source / "a").write_bytes(b"new")
    restore(house.program, "svc", choose(house.program, "svc"))
    assert (house.source / "a").read_bytes() == b"old"


def test_other_jobs_have_no_stage_of_the_package(site, tmp_path):
    house = house_with(tmp_path, {"kind": "virus_scan", "after": "gather"})
    assert "virus_scan" not in order(compile_prune(house.program.config, "svc"))


def test_changes_by_a_stage_are_restored(site, tmp_path):
    """With the package, without it, and with rescue.py, the same files are restored."""
    install(site, CHANGE, "sieve")
    entry = {"kind": "sieve", "after": "gather"}
    tree = {"A": b"1", "b/c": b"2" * 5_000_000, "b/x.tmp": b"3", "z.tmp": b"4"}
    require_contract(tmp_path / "contract", entry, tree)
    trial = Trial(tmp_path / "trial", [entry], tree)
    for name in ("one", "two"):  # the second time most files are unchanged
        assert trial.back_up().error is None
        trial.restore(name)
        found = tree_of(str(tmp_path / "trial" / name))
        assert sorted(found) == ["A", "READ.ME", "b", "b/c"]
    [*_, newest] = sorted((tmp_path / "trial" / "store" / "trial").glob("*.packrat"))
    target = tmp_path / "rescued"
    rescue = [sys.executable, ROOT / "rescue.py", "--key-file", tmp_path / "trial" / "key"]
    subprocess.run([*rescue, newest, target], check=True, capture_output=True)
    assert tree_of(str(target)) == found


def test_contract_refuses_a_stage_that_gives_files_out_of_order(site, tmp_path):
    install(site, CHANGE.replace('> order("READ.ME")', '> b"zz"'), "sieve")
    with pytest.raises(AssertionError, match=r"could not be read|not in the order of the index"):
        require_contract(tmp_path, {"kind": "sieve", "after": "gather"}, {"A": b"1", "b": b"2"})


def test_contract_refuses_a_stage_that_changes_what_is_restored(site, tmp_path):
    source = """
    from msgspec import structs

    class Shout(Stage):
        kind: ClassVar[str] = "shout"
        backwards: ClassVar[str] = "shout"
        takes: ClassVar[type | None] = Piece
        gives: ClassVar[type | None] = Piece

        def forward(self, items, run):
            yield from items

        def inverse(self, items, run):
            for item in items:
                yield structs.replace(item, data=bytes(item.data).upper())
    """
    install(site, source, "shout")
    with pytest.raises(AssertionError, match="without the stage writes other files"):
        require_contract(tmp_path, {"kind": "shout", "after": "gather"})


def test_repair_undoes_changes_of_a_stage_from_a_package(site, tmp_path, monkeypatch):
    """Without the package the journal keeps its entry, and the message names the kind."""
    install(site, HOLD, "hold")
    [kind] = [kind for kind in all_kinds() if kind.kind == "hold"]
    held = tmp_path / "held"
    Journal(str(tmp_path), "svc").note("hold", kind(file=str(held)), {"what": "the lamp"})
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [path for path in sys.path if path != str(site)])
        [owed] = put_back(str(tmp_path), "svc").owed
    assert "a stage of kind 'hold' held something, and no installed package has" in owed
    assert not held.exists()
    repaired = put_back(str(tmp_path), "svc")
    assert (repaired.done, repaired.owed) == (["svc: put back the lamp"], [])
    assert held.exists()
    assert Journal(str(tmp_path), "svc").recall() == {}


@pytest.mark.thorough
def test_cli_shows_checks_and_describes(site, tmp_path):
    """`check`, `plan`, `schema` and `run`, each in a separate process."""
    house = house_with(tmp_path, {"kind": "virus_scan", "after": "gather", "level": 3})
    fill(house.source, {"a": b"x"})
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def cli(*words):
        command = [sys.executable, "-m", "packrat", "-c", str(house.config_file), *words]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    cli("check")
    assert "virus_scan" in cli("plan")
    assert "level 3" in cli("plan")
    assert '"const": "virus_scan"' in cli("schema")
    file = tmp_path / "p.yaml"
    file.write_text(cli("plan", "--format", "yaml"))
    assert yaml.safe_load(file.read_text())["stages"]["virus_scan"] == {
        "kind": "virus_scan",
        "level": 3,
        "after": ["gather"],
    }
    cli("run", str(file))
    assert len(house.archives) == 1
