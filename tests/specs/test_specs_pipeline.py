"""Validation of pipeline documents, as strict as that of configurations."""

import os

import pytest
import yaml

from packrat.runs.repair import clear
from specs.faults import ConfigFaults
from specs.pipeline import load_pipelines
from tests.helpers.house import House


@pytest.fixture
def document(tmp_path):
    return House(tmp_path).pipeline().document()


def load(tmp_path, document):
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(document))
    return load_pipelines(str(file))


def test_what_was_compiled_is_accepted(tmp_path, document):
    """A compiled document has no fault."""
    [pipeline] = load(tmp_path, document)
    assert pipeline.document() == document


@pytest.mark.parametrize("fault", ["no confirm", "of another destination", "not after it"])
def test_an_upload_that_nothing_confirms_is_refused(tmp_path, document, fault):
    """It would be sent and never published, so such a run must not begin."""
    stages = document["stages"]
    [confirm] = [name for name, stage in stages.items() if stage["kind"] == "confirm"]
    if fault == "no confirm":
        after = stages.pop(confirm)["after"]
        for stage in stages.values():
            if confirm in stage.get("after", []):
                stage["after"] = after
    elif fault == "of another destination":
        document["destinations"]["other"] = document["destinations"]["local"]
        stages[confirm]["destination"] = "other"
    else:
        stages[confirm]["after"] = stages["upload:local"]["after"]
    with pytest.raises(
        ConfigFaults,
        match=r"no confirm of the same destination comes after it|only a fan-out feeds several",
    ):
        load(tmp_path, document)


@pytest.mark.parametrize("name", ["../..", "/etc", ".hidden", ""])
def test_names_that_would_lead_elsewhere_are_refused(tmp_path, document, name):
    """Names become paths of the spool, the lock, the log and the archives."""
    with pytest.raises(ConfigFaults):
        load(tmp_path, document | {"service": name})
    document["destinations"][name] = document["destinations"]["local"]
    with pytest.raises(ConfigFaults):
        load(tmp_path, document)


def test_only_what_packrat_left_half_written_is_cleared(tmp_path):
    """Any other file in a spool's folder is kept."""
    ours = ".svc-20261123T110910Z-d1a66e71.packrat.part"
    for name in (ours, ".bashrc", ".svc.part", ours.lstrip(".")):
        (tmp_path / name).touch()
    assert clear(str(tmp_path)) == [ours]
    assert len(os.listdir(tmp_path)) == 3
