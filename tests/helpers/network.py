"""Houses whose destinations are servers, and checks after a backup to them."""

import yaml

from tests.helpers.house import House
from tests.helpers.servers import KEY, SECRET
from tests.helpers.trees import fill, noise
from vault.errors import NotThere
from vault.store.s3 import S3


def house_with(tmp_path, destinations, **more) -> House:
    house = House(tmp_path / "house", **more)
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["destinations"] |= destinations
    house.config_file.write_text(yaml.safe_dump(document))
    fill(house.source, {"a": noise(300_000), "b/c": noise(2_500_000, 3), "b/d": b""})
    return house


def bucket(s3):
    """Return the bucket, through a direct connection."""
    url = f"http://127.0.0.1:{s3.port}"
    return S3("s3", "bucket", "backups/packrat", KEY, SECRET, url, "us-east-1")


def unfinished(s3) -> list[str]:
    """Return the unfinished uploads that the server lists."""
    try:
        answer = bucket(s3).request("list uploads", "list_multipart_uploads", Prefix="backups/")
    except NotThere:
        return []
    return [upload["Key"] for upload in answer.get("Uploads") or []]


def done(result):
    """Assert that a backup is done, and return True."""
    assert (result.status, result.error) == ("done", None)
    return True


def level(house, *names):
    """Return whether all destinations have the same backups."""
    item = [[h.stored for h in house.catalog(name).backups] for name in names]
    return all(one == item[0] for one in item) and bool(item[0])
