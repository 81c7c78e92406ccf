"""A plan of a restore is the restore: the same stages, from the destination that it reads from."""

import json

import yaml

from tests.helpers.house import House
from tests.helpers.trees import differences, fill

TO_A_FOLDER = ["select", "locate", "upload:near", "spool", "encrypt", "compress", "pack", "chunk"]
TO_A_FOLDER += ["gather"]


def stages_of(house, *words):
    [document] = json.loads(house.cli("plan", "--restore", *words, "--format", "json").stdout)
    return [stage["name"] for stage in document["stages"]]


def two_places(tmp_path):
    """A house with a backup at two local destinations; the first configured one lacks it."""
    house = House(tmp_path, ("far", "near"))
    fill(house.source, {"a": b"1", "b/c": b"2"})
    house.backed_up()
    for file in (house.stores["far"] / "svc").iterdir():
        file.unlink()
    house.forget()
    return house


def test_the_plan_names_the_destination_that_the_restore_reads_from(tmp_path):
    house = two_places(tmp_path)
    assert stages_of(house, "svc", "--to", "/tmp/x") == TO_A_FOLDER
    assert stages_of(house, "svc", "--in-place") == [*TO_A_FOLDER, "collect"]
    done = house.json("restore", "svc", "--to", str(tmp_path / "out"), "--yes")
    assert done["from"] == "near"


def test_the_printed_document_of_a_restore_restores(tmp_path):
    """It names the backup by its id, and asks, or needs --yes."""
    house = two_places(tmp_path)
    out = tmp_path / "out"
    printed = house.cli("plan", "--restore", "svc", "--to", str(out), "--format", "yaml").stdout
    document = yaml.safe_load(printed)
    [backup] = house.json("list")
    assert document["job"] == "restore"
    assert document["backup"].startswith(backup["id"])
    (tmp_path / "restore.yaml").write_text(printed)
    refused = house.cli("run", str(tmp_path / "restore.yaml"))
    assert refused.returncode == 2
    assert "pass --yes" in refused.stderr
    assert not out.exists()
    done = house.cli("run", str(tmp_path / "restore.yaml"), "--yes")
    assert done.returncode == 0, done.stderr
    assert differences(house.source, out) == []


def test_documents_of_prune_and_verify_run(tmp_path):
    house = House(tmp_path)
    fill(house.source, {"a": b"1"})
    house.backed_up()
    for job in ("prune", "verify"):
        file = tmp_path / f"{job}.yaml"
        file.write_text(house.cli("plan", job, "svc", "--format", "yaml").stdout)
        assert yaml.safe_load(file.read_text())["job"] == job
        done = house.cli("run", str(file))
        assert done.returncode == 0, done.stderr


def test_a_document_without_a_stage_whose_facts_are_needed_is_refused(tmp_path):
    """The fault names the fact that is missing, and nothing runs."""
    house = House(tmp_path)
    fill(house.source, {"a": b"1"})
    document = yaml.safe_load(house.cli("plan", "svc", "--format", "yaml").stdout)
    facts = {"survey": "Holdings", "base": "Base", "source": "Spool", "collect": "SourceReport"}
    for name, fact in facts.items():
        stages = {other: dict(params) for other, params in document["stages"].items()}
        before = stages.pop(name).get("after", [])
        for params in stages.values():
            after = params.get("after", [])
            params["after"] = [two for one in after for two in (before if one == name else [one])]
        file = tmp_path / "broken.yaml"
        file.write_text(yaml.safe_dump(document | {"stages": stages}))
        refused = house.cli("run", str(file))
        assert refused.returncode == 3, name
        assert f"needs {fact}, but no stage before it provides it" in refused.stderr, name
    assert house.archives == []


def test_a_service_cannot_be_named_like_a_job(tmp_path):
    house = House(tmp_path)
    text = house.config_file.read_text()
    house.config_file.write_text(text.replace("svc:", "prune:"))
    refused = house.cli("check")
    assert refused.returncode == 3
    assert "cannot be named 'prune'" in refused.stderr
