"""Law 3: nothing is ever deleted because a list failed, was empty, or lacked something."""

import pytest
import yaml

from engine.events import Started
from packrat.runs.backup import back_up
from packrat.verbs.prune import prune
from tests.helpers.house import House
from tests.helpers.trees import fill, noise
from vault.errors import Away
from vault.store.local import Local


@pytest.fixture
def house(tmp_path):
    """Four independent backups, of which only one is to be kept from now on."""
    house = House(tmp_path)
    for number in range(4):
        fill(house.source, {"a": noise(9000, number)})
        house.backed_up(full=True)
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["retain_backups"] = 1
    house.config_file.write_text(yaml.safe_dump(document))
    return house


class Listing:
    """Listing of the destination: complete, or as from a failing disk."""

    def __init__(self, monkeypatch):
        self.says = lambda found: found
        honest = Local.files

        def files(at, service, *check):
            found = honest(at, service, *check)
            return self.says(found) if at.name == "local" else found

        monkeypatch.setattr(Local, "files", files)


@pytest.fixture
def listing(monkeypatch):
    return Listing(monkeypatch)


def fails(_):
    raise Away("destination local: its disk does not answer", "")


FAULTS = {
    "fails": fails,
    "empty": lambda _: [],
    "without the oldest": lambda found: found[1:],
    "without one in between": lambda found: found[:1] + found[2:],
    "without the newest": lambda found: found[:-1],
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", ["survey", "prune:local"])
def test_a_backup_deletes_nothing_by_such_a_list(house, listing, stage, fault):
    """All of the run sees it, or only the prune at its end; the next run prunes."""
    before = house.archives

    def listen(event):
        if isinstance(event, Started) and event.stage == stage:
            listing.says = FAULTS[fault]

    result = back_up(house.pipeline(full=True), [listen])
    listing.says = lambda found: found
    assert set(before) <= set(house.archives)
    assert result.error or any(
        "not pruning local: it no longer lists" in w for w in result.warnings
    )
    house.backed_up(full=True)
    assert len(house.archives) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_prune_deletes_nothing_by_such_a_list(house, listing, capsys, fault):
    """It reports what is missing, and ends as partial; the next one prunes."""
    before = house.archives
    listing.says = FAULTS[fault]
    assert prune(house.program, None, dry_run=False, as_json=False) == 5
    assert "local" in capsys.readouterr().err
    assert house.archives == before
    listing.says = lambda found: found
    assert prune(house.program, None, dry_run=False, as_json=False) == 0
    assert house.archives == before[-1:]


def test_archives_deleted_by_packrat_are_not_missed(house):
    """Its own deletions do not hold back later ones."""
    for number in range(3):
        fill(house.source, {"a": noise(9000, 10 + number)})
        house.backed_up(full=True)
        assert len(house.archives) == 1
