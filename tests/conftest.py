"""Fixtures of all tests: the marker `root`, one set of keys, a home for a whole packrat."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from stages import containers, masking
from tests.budgets import Budgets
from tests.helpers.containers import engine_of_its_own
from tests.helpers.house import House
from tests.helpers.sampling import SOAK, examples
from tests.helpers.servers import S3Server, SshServer
from vault.archive.derivation import MIB_IN_KIB, Derivation
from vault.archive.keys import Keys
from vault.store import calls, retrying, sftp_login


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="run the full campaigns of make soak")
    parser.addoption("--soak-seed", type=int, default=1, help="seed of generated inputs")
    parser.addoption("--soak-size", type=int, default=200, help="number of generated inputs")


def pytest_configure(config):
    # A run that is terminated still ends its servers and unmounts its disks, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if config.getoption("--soak"):
        os.environ[SOAK] = "1"
    settings.register_profile(
        "packrat",
        max_examples=examples(30),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        print_blob=True,
    )
    settings.load_profile("packrat")
    config.pluginmanager.register(Budgets())


def pytest_runtest_setup(item):
    if item.get_closest_marker("soak") and not item.config.getoption("--soak"):
        pytest.skip("a full campaign; make soak runs it")
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: owners, devices, capabilities")


@pytest.fixture(autouse=True)
def _nothing_hidden(monkeypatch):
    """Forget the secrets that other tests have found in this process."""
    monkeypatch.setattr(masking, "_hidden", ())
    monkeypatch.setattr(masking, "_open", frozenset())


@pytest.fixture(scope="session")
def keys():
    """Real keys, as cheap as the format allows."""
    return Keys.create(
        "correct horse battery", Derivation(b"sixteen of salt.", 64 * MIB_IN_KIB, 1, 1)
    )


@pytest.fixture
def house(tmp_path):
    """A packrat of its own, with all the verbs that a law needs."""
    return House(tmp_path)


@pytest.fixture(scope="session")
def engine():
    """A real Docker engine."""
    with engine_of_its_own() as engine:
        yield engine


@pytest.fixture
def s3(tmp_path):
    """An S3 server that checks signatures."""
    server = S3Server(tmp_path / "s3")
    with server.up():
        yield server


@pytest.fixture
def nas(tmp_path):
    """An SFTP server."""
    server = SshServer(tmp_path / "nas")
    with server.up():
        yield server


@pytest.fixture
def impatient(monkeypatch):
    """Wait for what hangs for seconds, not for minutes."""
    monkeypatch.setattr(calls, "PATIENCE_SECONDS", 8.0)
    monkeypatch.setattr(retrying, "BACKOFF_SECONDS", 0.1)
    monkeypatch.setattr(sftp_login, "CONNECT_SECONDS", 3)


@pytest.fixture
def names(engine):
    """Names for containers, which are gone after the test."""
    before = set(engine.docker("ps", "-aq").split())
    yield iter([f"c{n}" for n in range(9)])
    for name in set(engine.docker("ps", "-aq").split()) - before:
        engine.docker("rm", "-f", name)


@pytest.fixture
def hasty(monkeypatch):
    """Believe a container without a check after a moment."""
    monkeypatch.setattr(containers, "STEADY_SECONDS", 0.5)


@pytest.fixture(scope="module")
def made(engine):
    """Three containers for many tests, the last of them stopped."""
    made = [engine.run("one"), engine.run("two"), engine.run("off")]
    engine.docker("stop", "-t", "1", "off")
    yield made
    engine.docker("rm", "-f", *made)


@pytest.fixture
def three(engine, made):
    """Two that run, also if the whole engine died meanwhile, and one that does not."""
    engine.docker("start", *made[:2])
    return made
