"""Server faults: refusals, full disks, wrong protocols, and excessive reads."""

import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import asyncssh
import pytest
import yaml

from tests.helpers.disks import disk
from tests.helpers.forked import backing_up, ended, signalling
from tests.helpers.house import House
from tests.helpers.network import done, house_with, level, unfinished
from tests.helpers.sampling import daily, sample
from tests.helpers.servers import KEY, SECRET, Line, Picky
from tests.helpers.trees import differences, fill, noise

pytestmark = pytest.mark.usefixtures("impatient")


def only(house, destinations):
    """Set the destinations of the house to these only."""
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["destinations"] = destinations
    house.config_file.write_text(yaml.safe_dump(document))


@pytest.mark.thorough
def test_a_server_that_refuses_newer_checksum_headers(tmp_path, s3):
    """Backblaze B2 and older MinIO answer 400 to them: packrat backs up, restores and prunes."""
    picky = Picky(s3.port)
    with pytest.raises(OSError, match="Unsupported header"):
        newer_client(picky.port)
    assert picky.refused
    picky.refused.clear()
    house = house_with(tmp_path, {}, keep=1)
    only(house, {"s3": s3.destination(port=picky.port)})
    for number in range(3):
        fill(house.source, {"a": noise(300_000, number)})
        assert done(house.back_up(full=True))
    assert len(s3.files()) == 1
    assert house.cli("check", "--connect").returncode == 0
    assert differences(house.source, house.restore()) == []
    assert picky.refused == []
    picky.shutdown()


def test_check_connect_finds_what_would_fail_every_backup(tmp_path, s3):
    """The bucket is also in the endpoint: writing would work there, listing does not."""
    house = house_with(tmp_path, {})
    settings = s3.destination()
    only(house, {"s3": settings | {"endpoint": f"{settings['endpoint']}/bucket"}})
    assert house.cli("check", "--connect").returncode == 4
    assert house.back_up().status == "failed"


@pytest.mark.root
def test_a_full_destination_costs_each_night_only_what_is_new(tmp_path):
    """The archives that wait in the spool are built on, as for a destination that is away."""
    house = House(tmp_path, spool={"path": str(tmp_path / "spool"), "min_free": "1"})
    with disk(house.stores["local"], "size=2m") as place:
        fill(house.source, {"a": noise(500_000)})
        house.backed_up()
        fill(house.source, {"b": noise(4_000_000, 2)})
        sizes = []
        for number in range(3):
            fill(house.source, {"c": noise(1_000, number)})
            result = house.back_up()
            assert result.status == "failed"
            sizes.append(result.stored)
        assert sizes[0] > 4_000_000
        assert max(sizes[1:]) < 20_000
        subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
        assert house.back_up().status == "done"
        assert differences(house.source, house.restore()) == []


def newer_client(port):
    """Put an object as the library does by default."""
    from s3fs import S3FileSystem

    url = f"http://127.0.0.1:{port}"
    fs = S3FileSystem(key=KEY, secret=SECRET, endpoint_url=url, skip_instance_cache=True)
    fs.pipe_file("bucket/foreign", b"x")


@pytest.mark.root
@pytest.mark.parametrize(
    ("which", "fault"),
    daily(
        [("s3", "read-only"), ("s3", "full"), ("nas", "read-only"), ("nas", "full")],
        [("nas", "full")],
    ),
)
def test_a_servers_disk_is_read_only_or_full(tmp_path, s3, nas, which, fault):
    """Others finish, exit 5, only whole archives are there; with room it catches up."""
    settings = s3.destination() if which == "s3" else nas.destination("dir")
    place = s3.folder / "bucket" if which == "s3" else nas.folder / "login" / "dir"
    house = house_with(tmp_path, {which: settings})
    assert done(house.back_up())
    before = {p.name for p in place.rglob("*.packrat")}
    subprocess.run(["cp", "-a", place, tmp_path / "kept"], check=True)
    with disk(place, "size=6m"):
        subprocess.run(["cp", "-a", f"{tmp_path / 'kept'}/.", place], check=True)
        if which == "s3":
            s3.restart()
        if fault == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        fill(house.source, {"more": noise(6_000_000, 9)})
        result = house.back_up()
        assert (result.status, result.exit) == ("partial", 5), result
        assert result.destinations["local"]["status"] == "done"
        assert f"destination {which}" in result.error
        assert "unexpected" not in result.error
        assert {p.name for p in place.rglob("*.packrat")} == before
        assert [item.problem for item in house.catalog(which).listed] == [""]
        if which == "s3":
            assert unfinished(s3) == []
        subprocess.run(["mount", "-o", "remount,rw,size=64m", place], check=True)
        assert done(house.back_up())
        assert level(house, "local", which)
        assert list(place.rglob("*.part")) == []


def test_a_run_that_dies_while_it_uploads_leaves_no_upload(tmp_path, s3):
    """After SIGKILL the server still has the upload; the next run aborts it for good."""
    house = house_with(tmp_path, {})
    only(house, {"s3": s3.destination()})
    assert ended(backing_up(house, signalling("Progress upload:s3"))) == -9
    assert len(unfinished(s3)) == 1
    assert not [file for file in s3.files() if file.suffix == ".packrat"]
    assert done(house.back_up())
    assert unfinished(s3) == []
    assert len(s3.files()) == 1


def test_a_web_server_that_is_no_s3_server(tmp_path):
    """A web server without such a page is a failure of that destination only."""

    class Nothing(BaseHTTPRequestHandler):
        def _answer(self):
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    keys = {"access_key_id": "k", "secret_access_key": "s", "bucket": "b"}
    house = house_with(tmp_path, {"s3": {"type": "s3", "endpoint": url, "region": "r", **keys}})
    result = house.back_up()
    server.shutdown()
    assert (result.status, result.exit) == ("partial", 5), result
    assert "destination s3" in result.error
    assert "is the endpoint right?" in result.error


@pytest.mark.parametrize("which", ["nas", "s3"])
@pytest.mark.thorough
def test_one_file_of_a_large_backup_reads_little(tmp_path, s3, nas, which):
    """However large the backup, one 100 KB file of it transfers at most 16 MiB."""
    server = s3 if which == "s3" else nas
    house = house_with(tmp_path, {}, keep=3)
    small = {f"d{n // 100:02}/{n:04}": noise(3000, n) for n in range(4000)}
    fill(house.source, small | {"big": noise(90 << 20), "d20/one": noise(100_000, 5)})
    direct = s3.destination() if which == "s3" else nas.destination("dir")
    only(house, {which: direct})
    assert done(house.back_up())
    line = Line(server.port)
    if which == "s3":
        only(house, {which: s3.destination(port=line.port)})
    else:
        key = nas.known_hosts.read_text()
        nas.known_hosts.write_text(key + key.replace(str(nas.port), str(line.port)))
        only(house, {which: nas.destination("dir", port=line.port)})
    house.forget()
    out = house.restore("out", "latest", "d20/one")
    assert (out / "d20" / "one").read_bytes() == noise(100_000, 5)
    assert 100_000 < line.received <= 16 << 20, line.received
    line.close()


@pytest.mark.thorough
def test_a_nas_brings_a_large_archive_to_its_disk_while_it_comes(tmp_path, nas, monkeypatch):
    """It flushes in steps on a separate channel, and at the end on that of the writer."""
    flushed = []
    fsync = asyncssh.SFTPClientFile.fsync

    async def counted(file):
        await fsync(file)
        flushed.append((await file.stat()).size)

    monkeypatch.setattr(asyncssh.SFTPClientFile, "fsync", counted)
    monkeypatch.setattr("vault.store.sftp_upload.FLUSH_BYTES", 8 << 20)
    house = house_with(tmp_path, {}, keep=3)
    only(house, {"nas": nas.destination("dir")})
    fill(house.source, {"big": noise(64 << 20)})
    assert done(house.back_up())
    [archive] = (nas.folder / "login").rglob("*.packrat")
    assert flushed[0] < flushed[-1] == archive.stat().st_size
    assert differences(house.source, house.restore()) == []


@pytest.mark.thorough
def test_a_nas_that_returns_less_than_requested(tmp_path, nas, monkeypatch):
    """A server that returns less than requested returns the rest for another request."""
    house = house_with(tmp_path, {})
    only(house, {"nas": nas.destination("dir")})
    folder = nas.folder / "login" / "dir" / "svc"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(noise(3 << 20))
    destination = house.program.destination("nas")
    monkeypatch.setattr(asyncssh.SFTPClient, "limits", SimpleNamespace(max_read_len=1 << 20))
    assert destination.read("svc", "file", 100, 2_500_000) == noise(3 << 20)[100:2_500_100]
    assert destination.read("svc", "file", 3 << 19, 9 << 20) == noise(3 << 20)[3 << 19 :]


@pytest.mark.parametrize("which", sample(["nas", "s3"]))
def test_a_budget_smaller_than_what_a_destination_takes_at_once(tmp_path, s3, nas, which):
    """However small max_size is, the writer and the destination never wait for each other."""
    settings = s3.destination() if which == "s3" else nas.destination("dir")
    house = house_with(tmp_path, {}, spool={"max_size": "4 MiB", "min_free": 0})
    only(house, {which: settings})
    fill(house.source, {"big": noise(40 << 20)})
    backup = house.cli("backup", "svc", wrap=("timeout", "-k", "1", "120"))
    assert backup.returncode == 0, backup.stderr


@pytest.mark.thorough
def test_the_budget_holds_on_disk(tmp_path, nas):
    """While a slow destination is behind, the spool never uses more disk than max_size."""
    house = house_with(tmp_path, {}, spool={"max_size": "40 MiB", "min_free": 0})
    only(house, {"slow": nas.destination("dir", limit="24 MiB/s")})
    fill(house.source, {"big": noise(96 << 20)})
    over, most = threading.Event(), [0]

    def watch():
        while not over.wait(0.01):
            for part in (house.state / "spool").rglob(".*.part"):
                with suppress(FileNotFoundError):
                    most.append(part.stat().st_blocks * 512)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert done(house.back_up())
    finally:
        over.set()
        watcher.join()
    assert 20 << 20 < max(most) <= 40 << 20, max(most)
