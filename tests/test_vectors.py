"""Frozen archives, made on the day of the format: two programs restore them for ever."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from tests.helpers.house import House
from tests.helpers.indexes import entries_of
from tests.helpers.needs import need
from tests.helpers.trees import digest
from tests.vectors.make import IDENTITY, PASSWORD, first_tree, listing, second_tree
from vault.archive.lineage import Says
from vault.archive.lists import ChunkLists

VECTORS = Path(__file__).parent / "vectors"
ROOT = Path(__file__).parents[1]
ARCHIVES = sorted(VECTORS.glob("*.packrat"))
STATEMENTS = sorted(VECTORS.glob("*.statement"))


def expected(number):
    return json.loads((VECTORS / f"{number}.json").read_text())


def test_the_vectors_are_frozen():
    """A vector is only changed, added or removed together with SHA256SUMS."""
    sums = dict(
        reversed(line.split("  ")) for line in (VECTORS / "SHA256SUMS").read_text().splitlines()
    )
    assert {name: digest(VECTORS / name) for name in sums} == sums
    others = {"SHA256SUMS", "make.py", "__pycache__"}
    assert {path.name for path in VECTORS.iterdir()} - others == set(sums)
    assert (VECTORS / "password").read_text() == PASSWORD + "\n"


def test_there_is_one_of_everything():
    """The vectors have every type of entry, holes, hard links, attributes and odd names."""
    entries = expected(1)
    assert {entry["type"] for entry in entries} == {
        oct(kind << 12) for kind in (0o01, 0o02, 0o04, 0o06, 0o10, 0o12)
    }
    assert any("path64" in entry for entry in entries)
    assert any(not entry.get("allocated", True) for entry in entries)
    assert sum("same as" in entry for entry in entries) == 3
    assert sum("xattrs" in entry for entry in entries) == 2
    names = {name for name in (entry.get("path") for entry in entries) if name}
    assert names - {entry.get("path") for entry in expected(2)} >= {"twin", "hard 2", "folder"}


@pytest.fixture
def house(tmp_path):
    """Machine that has only the archives and the password."""
    house = House(tmp_path, service="vectors")
    house.store.mkdir(parents=True)
    for file in (*ARCHIVES, *STATEMENTS):
        shutil.copy(file, house.store)
    house.key_file.unlink()
    done = house.cli("rekey", "--password-file", str(VECTORS / "password"))
    assert done.returncode == 0, done.stderr
    return house


def test_the_second_vector_has_a_file_in_chunk_lists(house):
    """A large file that changed inside: some chunks of a MiB, then smaller ones, in lists."""
    catalog, keys = house.catalog(), house.program.keys
    archives = {item.summary.id: catalog.open(item.stored.name, keys) for item in catalog.listed}
    [_, second, _] = archives.values()

    def fetch(archive, number):
        return archives[archive].frame(number, b"i")

    [entry] = [e for e in entries_of(second.manifest.index, fetch) if e.name == "image"]
    chunks = list(ChunkLists(fetch, "x").references(entry))
    assert (entry.chunks, entry.average, len(entry.lists) > 2) == ([], 65536, True)
    assert max(chunk[4] for chunk in chunks) > 1 << 20
    assert sum(chunk[4] <= 1 << 18 for chunk in chunks) > 64
    assert {chunk[1] for chunk in chunks} == {*list(archives)[:2]}


@pytest.mark.root
def test_packrat_restores_the_vectors(house):
    """packrat finds all archives whole, and restores each exactly as its JSON says."""
    assert [item.summary.kind for item in house.catalog().backups] == [
        "full",
        "incremental",
        "full",
    ]
    for number, archive in enumerate(ARCHIVES, 1):
        out = house.restore(f"out/{number}", archive.stem[-8:])
        assert listing(out) == expected(number)
    assert {verdict.status for verdict in house.verify()} == {"ok"}


@pytest.mark.root
def test_rescue_alone_restores_the_vectors(tmp_path):
    """rescue.py by itself, without access to packrat, restores the same."""
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in (ROOT / "rescue.py", VECTORS / "password", *ARCHIVES, *STATEMENTS):
        shutil.copy(file, alone)
    for number, archive in enumerate(ARCHIVES, 1):
        words = [archive.name, f"out{number}", "--password-file", "password"]
        command = [sys.executable, "-I", "rescue.py", *words]
        done = subprocess.run(command, cwd=alone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert listing(alone / f"out{number}") == expected(number)
    words = ["--list", *(file.name for file in STATEMENTS), "--password-file", "password"]
    command = [sys.executable, "-I", "rescue.py", *words]
    done = subprocess.run(command, cwd=alone, capture_output=True, text=True, check=True)
    told = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    assert [(says, why) for _, says, _, why in told] == [
        (says, f"why it is {says}") for says in get_args(Says)
    ]


def test_the_vectors_continue_one_line(house):
    """A root and a statement of each kind, and what the statements say in the manifest."""
    first, second, third = [item.summary for item in house.catalog().backups]
    assert {item.statement.says for item in house.catalog().statements} == {*get_args(Says)}
    assert {root.kind for root in third.roots} == {"folder", "volume", "dump", "definition"}
    assert (first.sequence, first.parent) == (1, None)
    assert (second.sequence, second.parent.id, second.line) == (2, first.id, first.line)
    assert [(pin.archive, pin.text) for pin in second.pins] == [(first.id, "why it is pin")]
    assert [(one.archive, one.how) for one in second.gone] == [(first.id, "forgotten")]
    assert [one.archive for one in second.accepted] == [f"{4:032x}"]


def test_the_holder_of_a_recipients_key_needs_no_password(tmp_path):
    """rescue.py writes out the age file of a slot, and Debian's age opens it."""
    need("age")
    shutil.copy(ROOT / "rescue.py", tmp_path)
    for archive in ARCHIVES:
        shutil.copy(archive, tmp_path)
    (tmp_path / "identity").write_text(IDENTITY + "\n")
    rescue = [sys.executable, "-I", "rescue.py"]
    age = ["age", "--decrypt", "--identity", "identity", "--output", "master", "slot.age"]
    listed = ["--key-file", "master", "--list", ARCHIVES[1].name]
    for command in ([*rescue, "--slot", "2", ARCHIVES[-1].name, "slot.age"], age, rescue + listed):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "renamed folder/small" in done.stdout
    wrong = subprocess.run(
        [*rescue, "--slot", "1", ARCHIVES[-1].name, "one.age"], cwd=tmp_path, check=False
    )
    assert wrong.returncode == 1
    assert not (tmp_path / "one.age").exists()


@pytest.mark.root
def test_the_script_still_makes_such_trees(tmp_path):
    """make.py makes the trees that the JSON describes."""
    for number, change in enumerate((first_tree, second_tree), 1):
        change(tmp_path / "source")
        made = {
            (entry.get("path"), entry.get("path64")): (entry["type"], entry.get("sha256"))
            for entry in listing(tmp_path / "source")
        }
        told = {
            (entry.get("path"), entry.get("path64")): (entry["type"], entry.get("sha256"))
            for entry in expected(number)
        }
        assert made == told


def test_a_vector_is_what_the_format_says_at_its_ends():
    """Header and trailer of the frozen files, parsed by hand."""
    for archive in ARCHIVES:
        data = archive.read_bytes()
        assert data[:10] == b"PACKRAT\n\0\2"
        size = int.from_bytes(data[10:12])
        assert data[12:16].hex() == archive.stem[-8:]
        assert data[60] == 2  # a password and a recipient
        assert data[size - 8 : size] == hashlib.sha256(data[: size - 8]).digest()[:8]
        assert data[-16:] == data[12:20] + b"TARKCAP\n"
        offset = int.from_bytes(data[-32:-24])
        lengths = int.from_bytes(data[-24:-20]) + int.from_bytes(data[-20:-16])
        assert offset + lengths + 32 == len(data)
