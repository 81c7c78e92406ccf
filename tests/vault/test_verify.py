"""Verification is truthful: damaged only if bytes prove it, otherwise unknown."""

import random
import shutil
import time

import pytest

from packrat.restore.choose import find_archives
from tests.helpers.house import House, cheap_keys
from tests.helpers.servers import SshServer
from tests.helpers.trees import fill, noise
from vault.catalog.cache import CatalogCache
from vault.catalog.prover import Depth
from vault.catalog.retention import Policy, bases
from vault.catalog.rules import Rules
from vault.catalog.verdict import Status, remember
from vault.catalog.verify import Verifier
from vault.errors import Away
from vault.store.local import Local

DEPTHS = list(Depth)
KEPT = Policy(Rules(last=2), "here")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """House whose two oldest archives are bases: what they refer to was pruned."""
    house = House(tmp_path_factory.mktemp("sound"), keep=2)
    for day in range(8):
        # Odd days store what stays. They refer to what even days store, which is soon deleted.
        if day % 2:
            fill(house.source, {f"stays{day}": noise(150_000, day)})
        else:
            fill(house.source, {f"goes{day}": noise(60_000, day)})
            (house.source / f"goes{day - 2}").unlink(missing_ok=True)
        house.backed_up()
    catalog = house.catalog()
    assert len(catalog.listed) > len(catalog.backups) >= 2
    return house


@pytest.fixture
def copy(sound, tmp_path):
    """Copy of it that may be damaged."""
    house = House(tmp_path, keep=2)
    shutil.copytree(sound.store, house.store)
    return house


def place_of(house):
    return Local("local", str(house.stores["local"]))


def verifier(house, depth=Depth.CHUNKS, place=None, **more):
    cache = CatalogCache(":memory:", aside=True)
    catalog = cache.catalog(place or place_of(house), "svc", cheap_keys(), marks=False)
    more.setdefault("bases", bases(catalog, KEPT))
    return Verifier(catalog, cheap_keys(), depth, **more)


def statuses(verdicts):
    return {verdict.name: verdict.status for verdict in verdicts}


@pytest.mark.parametrize("depth", DEPTHS)
def test_bases_left_by_retention_are_good(copy, depth):
    """The references of an expired archive may be gone: that is no alarm."""
    verdicts = verifier(copy, depth).verify()
    assert {verdict.status for verdict in verdicts} == {Status.GOOD}
    assert any(verdict.base for verdict in verdicts)
    assert not all(verdict.base for verdict in verdicts)


def test_a_base_that_nobody_needs_is_not_read(copy):
    """Its damage concerns nobody: it is about to be deleted."""
    useless = copy.archives[-1]
    data = useless.read_bytes()
    useless.write_bytes(data[:-100] + bytes(100))
    [verdict] = verifier(copy, bases={useless.name}).verify({useless.name})
    assert (verdict.status, verdict.base, verdict.bytes_read) == (Status.GOOD, True, 0)
    [verdict] = verifier(copy, bases=()).verify({useless.name})
    assert verdict.status is Status.DAMAGED


def frames_of(house, name):
    """Return the frames of an archive: those that backups need, and the others."""
    proof = verifier(house)
    proof.verify()
    archive = proof._opened[name]
    needed = set(proof._references.frames(archive.manifest.id))
    return archive, needed, set(range(2, 2 + len(archive.frames))) - needed


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("depth", [Depth.FRAMES, Depth.CHUNKS])
def test_a_base_is_damaged_only_where_a_backup_needs_it(copy, depth):
    """A flipped byte in unreferenced data is no loss; anywhere else it is found."""
    [base, *_] = [v.name for v in verifier(copy).verify() if v.base]
    archive, needed, others = frames_of(copy, base)
    assert needed
    assert others, "its index is needed by nobody"
    path = copy.store / base
    whole = path.read_bytes()
    for number in others:
        flip(path, archive.position(number)[0] + 9)
    assert set(statuses(verifier(copy, depth).verify()).values()) == {Status.GOOD}
    for number in needed:
        path.write_bytes(whole)
        flip(path, archive.position(number)[0] + 9)
        found = statuses(verifier(copy, depth).verify())
        assert found.pop(base) is Status.DAMAGED
        assert set(found.values()) == {Status.GOOD}
        [one] = verifier(copy, depth).verify({base})
        assert one.status is Status.DAMAGED


def test_a_reference_that_was_deleted_by_hand_is_missing(copy):
    """An archive that a retained backup needs is gone, and not because of retention."""
    catalog = copy.catalog()
    newest = catalog.backups[-1]
    lost = newest.summary.archives[-1].name
    (copy.store / lost).unlink()
    copy.forget()
    found = statuses(verifier(copy).verify())
    assert found[newest.stored.name] is Status.MISSING
    rows = copy.json("verify", status=4)
    assert any(lost in problem for row in rows for problem in row["problems"])


def test_only_the_index_of_the_chosen_backup_is_opened(copy, monkeypatch):
    """`--backup` needs only that index, and of its references only what it needs."""
    from vault.catalog import verify

    opened = []
    original = verify.read_blocks

    def read_blocks(blocks, fetch, where):
        opened.append(where.rpartition("/")[2])
        return original(blocks, fetch, where)

    monkeypatch.setattr(verify, "read_blocks", read_blocks)
    catalog = copy.catalog()
    name = find_archives([catalog], "latest", "here")["svc"]
    others = {item.stored.name for item in catalog.listed} - {name}
    needed = {other.name for other in catalog.backups[-1].summary.archives}
    verdicts = verifier(copy, bases=others).verify({name, *needed})
    assert opened == [name]
    assert set(statuses(verdicts)) == {name, *needed}
    assert copy.json("verify", "--backup", "latest", "--deep")
    copy.json("verify", "--backup", "latest")


class Refusing(Local):
    """Destination that fails to deliver some archives, in some way."""

    def __init__(self, path, error, when=lambda _name, _offset: True):
        super().__init__("local", path)
        self.error, self.when, self.reads = error, when, 0
        self.armed = False

    def read(self, service, name, offset, length, *check):
        if self.armed and self.when(name, offset):
            self.reads += 1
            raise self.error
        return super().read(service, name, offset, length, *check)


class Panic(BaseException):
    pass


Panic.__name__ = "PanicException"


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("error", [Away("it forbids that"), Panic("x"), ConnectionResetError()])
@pytest.mark.parametrize("first", [0, 73])
def test_an_undelivered_archive_is_unreadable_and_not_damaged(copy, depth, error, first):
    """403, 503, a reset, a panic: nothing is known, nothing is recorded, and it soon ends."""
    place = Refusing(str(copy.stores["local"]), error, lambda _, offset: offset >= first)
    proof = verifier(copy, depth, place)
    place.armed = True
    verdicts = proof.verify()
    assert {verdict.status for verdict in verdicts} == {Status.UNREADABLE}
    assert place.reads <= 4, "the others are not attempted"
    catalog = copy.catalog()
    remember(copy.program.cache, catalog, verdicts, depth, time.time())
    assert copy.program.cache.proofs(catalog.destination, "svc") == {}
    assert proof.gave_up


def test_one_archive_that_is_refused_does_not_hide_the_others(copy):
    """Its verdict is unknown, theirs are known, and damage elsewhere is still found."""
    names = [path.name for path in copy.archives]
    place = Refusing(str(copy.stores["local"]), Away("refused"), lambda name, _: name == names[1])
    proof = verifier(copy, Depth.FRAMES, place)
    place.armed = True
    path = copy.store / names[-1]
    flip(path, path.stat().st_size // 2)
    found = statuses(proof.verify())
    assert found.pop(names[1]) is Status.UNREADABLE
    assert found.pop(names[-1]) is Status.DAMAGED
    assert set(found.values()) == {Status.GOOD}


@pytest.mark.parametrize("depth", DEPTHS)
def test_an_archive_pruned_meanwhile_has_no_verdict(copy, depth):
    """Nor do backups that were pruned with it after they had been opened."""
    names = [path.name for path in copy.archives]

    class Pruning(Local):
        """Store that is pruned, newest first, as soon as the third archive is opened."""

        def read(self, service, name, offset, length, *check):
            if name == names[2]:
                for path in copy.archives:
                    path.unlink()
            return super().read(service, name, offset, length, *check)

    catalog = CatalogCache(":memory:", aside=True).catalog(
        place_of(copy), "svc", cheap_keys(), marks=False
    )
    catalog.destination = Pruning("local", str(copy.stores["local"]))
    found = Verifier(catalog, cheap_keys(), depth, bases=bases(catalog, KEPT)).verify()
    assert {verdict.status for verdict in found} == {Status.PRUNED}
    assert all(not verdict.problems for verdict in found)


def test_exit_statuses_tell_damage_from_what_is_unknown(copy):
    """4 for damage, 5 for what could not be read, 0 for good; also with --due."""
    copy.config_file.write_text(copy.config_file.read_text() + "verify: {deep_percent: 100}\n")
    path = copy.archives[-1]
    assert {row["status"] for row in copy.json("verify", "--due")} == {"ok"}
    whole = path.read_bytes()
    flip(path, len(whole) // 2)
    assert [r["status"] for r in copy.json("verify", "--due", status=4)].count("damaged") == 1
    assert [r["status"] for r in copy.json("verify", "--deep", status=4)].count("damaged") == 1
    path.write_bytes(whole)
    assert {row["status"] for row in copy.json("verify", "--deep")} == {"ok"}


def test_a_verification_that_could_read_nothing_is_partial(tmp_path, impatient):
    """`verify --due` once ended with 0 although the server was away, or refused every read."""
    nas = SshServer(tmp_path / "nas")
    with nas.up():
        house = House(
            tmp_path,
            backup={"destinations": {"nas": nas.destination("./b")}},
            verify={"deep_percent": 100},
        )
        fill(house.source, {"a": noise(200_000)})
        assert house.back_up().status == "done"
        assert {row["status"] for row in house.json("verify", "--due")} == {"ok"}
    done = house.cli("verify", "--due")
    assert done.returncode == 5, done.stderr
    assert "0 of 0 archives good" in done.stdout
    assert house.json("history", "--last", "1")[0]["status"] == "partial"


def test_a_reference_to_a_frame_that_is_not_there_is_damage(copy):
    """A verification of the referring backup alone would not detect it."""
    proof = verifier(copy)
    name = copy.archives[-1].name
    id_ = proof._open(name).manifest.id
    proof._references.add([("00" * 16, id_, 999, 0, 10)])
    assert statuses(proof.verify())[name] is Status.DAMAGED


@pytest.mark.parametrize("seed", range(3))
def test_every_damage_in_a_backup_is_found_at_full_depth(copy, seed):
    """Any flipped byte of a listed backup; with --deep and by share."""
    chance = random.Random(seed)
    backups = [item.stored.name for item in copy.catalog().backups]
    for _ in range(6):
        path = copy.store / chance.choice(backups)
        whole = path.read_bytes()
        flip(path, chance.randrange(len(whole)))
        for depth in (Depth.FRAMES, Depth.CHUNKS):
            assert statuses(verifier(copy, depth).verify())[path.name] is Status.DAMAGED
        path.write_bytes(whole)
