"""Two hosts with one service name in one bucket: neither uses or prunes the other's archives."""

import pytest
import yaml

from tests.helpers.house import House, cheap_keys
from tests.helpers.sampling import daily
from tests.helpers.stores import s3_client
from tests.helpers.trees import differences, fill, noise
from vault.archive.key_file import write_key_file

pytestmark = pytest.mark.usefixtures("impatient")


def machine(folder, s3, host, password=None):
    """Return a separate machine that keeps one backup in the bucket."""
    folder.mkdir()
    if password:
        write_key_file(str(folder / "key"), cheap_keys(password))
    house = House(folder, destinations=(), keep=1, host=host)
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["destinations"] = {"s3": s3.destination()}
    house.config_file.write_text(yaml.safe_dump(document))
    fill(house.source, {"of": noise(50_000, len(host))})
    return house


def begun(s3, house):
    """Begin an upload under a current name, as a long backup does; return a check of it."""
    there = s3_client(s3.port)
    newest = max(s3.files()).name
    name = f"svc-{newest[4:12]}T235959Z-00112233.packrat"
    upload = {"Bucket": "bucket", "Key": f"backups/packrat/svc/{name}"}
    upload["UploadId"] = there.call_s3("create_multipart_upload", **upload)["UploadId"]
    return lambda: bool(there.call_s3("upload_part", **upload, PartNumber=1, Body=b"x"))


@pytest.mark.parametrize("password", daily([None, "of its own"], [None]))
def test_the_second_host_is_warned_and_the_first_left_alone(tmp_path, s3, password):
    """Under one key it is refused; under its own key it is allowed, with a warning.

    Nothing of the first is deleted, neither archives nor a running upload, whatever the second
    does.
    """
    first = machine(tmp_path / "one", s3, "one")
    assert first.back_up().status == "done"
    stands = set(s3.files())
    goes_on = begun(s3, first)
    second = machine(tmp_path / "two", s3, "another", password)
    for number in range(2):
        fill(second.source, {"of": noise(50_000, 90 + number)})
        result = second.back_up(full=True)
        if password:
            assert result.status == "done"
            assert "s3 holds 1 archive of svc under another key" in result.warnings[0]
        else:
            assert (result.status, result.exit) == ("failed", 4)
            assert "packrat backup svc --take-over" in result.error
    assert second.cli("prune").returncode == 0
    assert stands <= set(s3.files())
    assert len(set(s3.files()) - stands) == (1 if password else 0)
    assert goes_on()
    assert differences(first.source, first.restore()) == []


@pytest.mark.thorough
def test_an_archive_under_another_key_is_reported_as_such(tmp_path, s3):
    """Restoring it by its id does not report that there is no such backup."""
    first = machine(tmp_path / "one", s3, "one")
    id_ = first.back_up().id
    second = machine(tmp_path / "two", s3, "two", "of its own")
    assert second.back_up().status == "done"
    out = ("--to", str(tmp_path / "out"), "--yes")
    said = second.cli("restore", "svc", "--backup", id_, *out)
    assert said.returncode == 7
    assert "is sealed under another key; enter its password" in said.stderr
