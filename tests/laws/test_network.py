"""S3 and a NAS at once, on real servers: the same bytes, and independent failures."""

import json
import re
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml

from tests.helpers.house import House
from tests.helpers.network import done, house_with, level
from tests.helpers.sampling import daily, sample
from tests.helpers.servers import Line, S3Server, SshServer, free_port
from tests.helpers.trees import differences, digest, fill, noise

pytestmark = pytest.mark.usefixtures("impatient")


def test_both_at_once_and_each_alone_restores(tmp_path, s3, nas):
    """Every destination has the same archive by SHA-256, and each alone restores everything."""
    house = house_with(tmp_path, {"s3": s3.destination(), "nas": nas.destination("./dir/")})
    assert done(house.back_up())
    fill(house.source, {"b/new": noise(400_000, 8)})
    assert done(house.back_up())
    files = {p.name: digest(p) for p in house.archives}
    assert {p.name: digest(p) for p in s3.files()} == files
    there = nas.folder / "login" / "dir" / "svc"
    assert {p.name: digest(p) for p in there.iterdir()} == files
    for name in ("local", "s3", "nas"):
        house.forget()
        out = house.root / f"out-{name}"
        restored = house.cli("restore", "svc", "--from", name, "--to", str(out), "--yes")
        assert restored.returncode == 0, restored.stderr
        assert differences(house.source, out) == []
    assert house.cli("verify", "--deep").returncode == 0


@pytest.mark.root
def test_chrooted_without_a_shell(tmp_path):
    """A NAS with SFTP only: absolute paths begin at its shares, and so do relative ones."""
    # OpenSSH requires every folder above a jail to belong to root alone; /tmp does not.
    jail = Path(tempfile.mkdtemp(dir="/run"))
    jail.chmod(0o755)
    server = SshServer(jail / "nas", chroot=True)
    with server.up():
        places = {"abs": server.destination("/share/x"), "rel": server.destination("y")}
        house = house_with(tmp_path, places)
        assert done(house.back_up())
        assert list((server.jail / "share" / "x" / "svc").glob("*.packrat"))
        assert list((server.jail / "share" / "y" / "svc").glob("*.packrat"))
        assert house.cli("verify", "--deep").returncode == 0
    shutil.rmtree(jail)


FAULTS = {
    "refused": ("s3 nas", "is it up|is the endpoint right"),
    "silent": ("s3 nas", "does not answer"),
    "credentials": ("s3 nas", "refuses the"),
    "unknown host key": ("nas", "is unknown: SHA256:"),
    "changed host key": ("nas", "has changed|not SHA256"),
    "no bucket": ("s3", "there is no bucket"),
}


def spoiled(fault, server, destination, line):
    """Return a destination's settings with a fault in them."""
    match fault:
        case "refused":
            port = free_port()
        case "silent":
            port = line.port
        case _:
            port = server.port
    if isinstance(server, S3Server):
        bad = destination(port=port)
        bad |= {"secret_access_key": "wrong"} if fault == "credentials" else {}
        bad |= {"bucket": "nobucket"} if fault == "no bucket" else {}
        return bad
    bad = destination("dir", port=port)
    if fault in ("refused", "silent"):
        bad["known_hosts"] = str(server.known_hosts)
    if fault == "credentials":
        bad["username"] = "nobody"
    if fault == "unknown host key":
        bad["known_hosts"] = "/dev/null"
    if fault == "changed host key":
        bad["host_key"] = "SHA256:" + "A" * 43
        del bad["known_hosts"]
    return bad


@pytest.mark.parametrize(
    ("which", "fault"),
    sample([(w, f) for f, (kinds, _) in FAULTS.items() for w in kinds.split()], every=2),
)
@pytest.mark.thorough
def test_one_destinations_fault_is_its_own(tmp_path, s3, nas, which, fault):
    """The others finish, exit 5, the message names it and the remedy; later it catches up."""
    server = {"s3": s3, "nas": nas}[which]
    good = s3.destination() if which == "s3" else nas.destination("dir")
    line = Line(server.port, silent=True)
    bad = spoiled(fault, server, server.destination, line)
    house = house_with(tmp_path, {which: bad})
    result = house.back_up()
    line.close()
    assert (result.status, result.exit) == ("partial", 5), result
    assert re.search(FAULTS[fault][1], result.error), result.error
    assert f"destination {which}" in result.error
    assert result.destinations["local"]["status"] == "done"
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["destinations"][which] = good
    house.config_file.write_text(yaml.safe_dump(document))
    assert done(house.back_up())
    assert level(house, "local", which)


@pytest.mark.parametrize(
    ("which", "after"),
    daily(
        [(which, after) for which in ("s3", "nas") for after in (2_000, 150_000, 1_500_000)],
        [("nas", 1_500_000)],
    ),
)
def test_a_line_cut_after_some_bytes(tmp_path, s3, nas, which, after):
    """No incomplete file has a final name, no upload is left, and it catches up."""
    server = {"s3": s3, "nas": nas}[which]
    line = Line(server.port, cut_after=after)
    known = Path(nas.known_hosts)
    known.write_text(known.read_text() + known.read_text().replace(str(nas.port), str(line.port)))
    settings = (
        s3.destination(port=line.port) if which == "s3" else nas.destination("dir", port=line.port)
    )
    house = house_with(tmp_path, {which: settings})
    result = house.back_up()
    assert result.status == "partial", result
    assert result.destinations[which]["status"] == "failed"
    line.left = None
    if which == "s3":
        s3.restart()  # sometimes rclone's server answers nothing after an interrupted request
    for item in house.catalog(which).listed:
        assert not item.problem
    assert done(house.back_up())
    assert level(house, "local", which)
    leftover = list(tmp_path.rglob("*.part"))
    assert leftover == []
    line.close()


def test_all_away_and_back(tmp_path, s3, nas):
    """With no destination: exit 4, the archive waits, and a later run stores it without reading."""
    house = house_with(tmp_path, {"s3": s3.destination(), "nas": nas.destination("dir")})
    document = yaml.safe_load(house.config_file.read_text())
    good = json.dumps(document)
    del document["backup"]["destinations"]["local"]
    document["backup"]["destinations"]["s3"]["endpoint"] = f"http://127.0.0.1:{free_port()}"
    document["backup"]["destinations"]["nas"]["port"] = free_port()
    house.config_file.write_text(yaml.safe_dump(document))
    result = house.back_up()
    assert (result.status, result.exit) == ("failed", 4)
    assert "waits in the spool" in result.error
    lost = house.source / "a"
    content = lost.read_bytes()
    lost.unlink()
    house.config_file.write_text(good)
    assert done(house.back_up())
    assert level(house, "local", "s3", "nas")
    out = house.restore("out", result.id)
    assert (out / "a").read_bytes() == content
    assert not list((house.state / "spool").rglob("*.packrat"))


def test_a_destination_added_later_gets_everything(tmp_path, nas):
    """It gets all that the kept backups need by itself, references first."""
    house = house_with(tmp_path, {}, keep=3)
    for number in range(5):
        fill(house.source, {f"n{number}": noise(50_000, number)})
        house.backed_up()
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["destinations"]["nas"] = nas.destination("dir")
    house.config_file.write_text(yaml.safe_dump(document))
    assert done(house.back_up())
    newest = [item.stored.name for item in house.catalog("local").backups[-3:]]
    assert [item.stored.name for item in house.catalog("nas").backups[-3:]] == newest
    out = house.root / "out"
    for item in house.catalog("nas").backups[-3:]:
        short = item.summary.id[:8]
        restored = house.cli(
            "restore", "svc", "--from", "nas", "--backup", short, "--to", str(out), "--yes"
        )
        assert restored.returncode == 0, restored.stderr
        shutil.rmtree(out)


def test_a_reference_deleted_by_hand_comes_back(tmp_path):
    """A backup with a missing reference is not listed; the other destination repairs it."""
    house = House(tmp_path, destinations=("one", "two"))
    fill(house.source, {"a": noise(100_000)})
    base = house.backed_up()
    fill(house.source, {"b": noise(100_000, 2)})
    house.backed_up()
    base.unlink()
    assert [h.stored.name for h in house.catalog("one").backups] == []
    assert len(house.catalog("two").backups) == 2
    assert done(house.back_up())
    assert base.exists()
    assert level(house, "one", "two")


def test_an_unmounted_disk_is_away(tmp_path):
    """A folder that had backups and is empty is not written to until the user accepts it."""
    house = House(tmp_path, destinations=("one", "two"))
    fill(house.source, {"a": b"1"})
    house.backed_up()
    mounted = house.stores["one"]
    mounted.rename(tmp_path / "elsewhere")
    mounted.mkdir()
    result = house.back_up()
    assert (result.status, result.exit) == ("partial", 5)
    assert "now lists none; is its disk mounted?" in result.error
    refused = house.json("check", "--connect", status=4)["destinations"]
    assert [bool(one["problem"]) for one in refused] == [True, False]
    assert "held 1 backup and lists none" in refused[0]["problem"]
    assert house.back_up().status == "partial"
    assert list(mounted.rglob("*")) == []
    assert house.cli("check", "--connect", "--accept-empty").returncode == 0
    assert done(house.back_up())
    assert level(house, "one", "two")


@pytest.mark.thorough
def test_a_budget_smaller_than_the_archive(tmp_path, nas):
    """The spool never exceeds its budget while a slow destination is behind."""
    settings = {"slow": nas.destination("dir", limit="8 MiB/s")}
    house = house_with(tmp_path, settings, spool={"max_size": "8 MiB", "min_free": 0})
    document = yaml.safe_load(house.config_file.read_text())
    del document["backup"]["destinations"]["local"]
    house.config_file.write_text(yaml.safe_dump(document))
    fill(house.source, {"big": noise(48 << 20)})
    most = 0

    def watch(_event):
        nonlocal most
        spooled = (house.state / "spool").rglob(".*.part")
        most = max([most, *(p.stat().st_blocks * 512 for p in spooled)])

    from packrat.runs.backup import back_up

    result = back_up(house.pipeline(), [watch])
    assert result.status == "done", result
    assert 0 < most <= (8 << 20) + (24 << 20), most
    assert house.cli("verify", "--deep").returncode == 0
