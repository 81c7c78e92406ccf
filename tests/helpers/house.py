"""Complete setup below one folder: configuration, key, state, spool, destinations, source."""

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from engine.run import Clock
from packrat.program import Program
from packrat.restore.choose import choose
from packrat.runs.backup import Result, back_up
from specs.compile import compile_service
from specs.pipeline import Pipeline
from tests.helpers.command_line import Done, in_a_process, packrat
from tests.helpers.restoring import restore
from vault.archive.derivation import Derivation
from vault.archive.key_file import write_key_file
from vault.archive.keys import Keys
from vault.catalog.catalog import Catalog
from vault.catalog.prover import Depth
from vault.catalog.verdict import Verdict
from vault.catalog.verify import Verifier

PASSWORD = "correct horse"
SALT = b"sixteen of salt."


@cache
def cheap_keys(password: str = PASSWORD, salt: bytes = SALT) -> Keys:
    """Return keys with the lowest cost that the format allows, each time the same."""

    def master(size: int) -> bytes:
        return hashlib.blake2b(password.encode() + salt, digest_size=size).digest()

    return Keys.create(password, Derivation(salt, 64 * 1024, 1, 2), master)


def header_size(archive: bytes) -> int:
    """Return how many bytes the header at the beginning of an archive has."""
    return int.from_bytes(archive[10:12])


class House:
    """All that a test needs of one machine, below `root`."""

    def __init__(
        self,
        root: Path,
        destinations: tuple[str, ...] = ("local",),
        service: str = "svc",
        keep: int = 100,
        **more: Any,
    ) -> None:
        self.root, self.service = root, service
        self.source, self.state = root / "source", root / "state"
        self.key_file, self.config_file = root / "key", root / "packrat.yaml"
        self.stores = {name: root / "store" / name for name in destinations}
        self.source.mkdir(exist_ok=True, parents=True)
        places = {name: {"type": "local", "path": str(at)} for name, at in self.stores.items()}
        document = {
            "services": {service: {"path": str(self.source)} | more.pop("settings", {})},
            "backup": {"retain_backups": keep, "destinations": places},
            "encryption": {"key_file": str(self.key_file)},
            "state_dir": str(self.state),
            "host": "here",
        }
        self.config_file.write_text(yaml.safe_dump(document | more))
        if not self.key_file.exists():
            write_key_file(str(self.key_file), cheap_keys())

    @property
    def store(self) -> Path:
        """The service's folder at the first destination."""
        return next(iter(self.stores.values())) / self.service

    @property
    def program(self) -> Program:
        """A program that has loaded nothing yet."""
        return Program(str(self.config_file))

    @property
    def archives(self) -> list[Path]:
        """The published archives at the first destination, oldest first."""
        return sorted(self.store.glob("*.packrat"))

    def pipeline(self, *, full: bool = False) -> Pipeline:
        """Return the compiled backup of the service."""
        return compile_service(self.program.config, self.service, full=full)

    def back_up(self, *, full: bool = False, clock: Clock | None = None) -> Result:
        """Back up in this process."""
        return back_up(self.pipeline(full=full), clock=clock)

    def backed_up(self, *, full: bool = False) -> Path:
        """Back up, which must succeed; return the file of the new archive."""
        before = set(self.archives)
        result = self.back_up(full=full)
        assert (result.status, result.error) == ("done", None), result
        [new] = set(self.archives) - before
        return new

    def catalog(self, destination: str | None = None) -> Catalog:
        """Return the catalog of a destination, as `packrat list` reads it."""
        program = self.program
        name = destination or next(iter(self.stores))
        return program.cache.catalog(program.destination(name), self.service, program.keys)

    def restore(self, to: str = "out", backup: str = "latest", *paths: str) -> Path:
        """Restore in this process to a folder below root; raises the error that ends it."""
        program = self.program
        target = self.root / to
        restore(program, self.service, choose(program, self.service, backup), paths, str(target))
        return target

    def verify(self, *, deep: bool = True) -> list[Verdict]:
        """Verify the first destination."""
        depth = Depth.CHUNKS if deep else Depth.SAMPLES
        return Verifier(self.catalog(), self.program.keys, depth).verify()

    def forget(self) -> None:
        """Delete the cache and the record, as on a new machine."""
        for name in self.state.glob("catalog.sqlite*"):
            name.unlink()
        shutil.rmtree(self.state / "record", ignore_errors=True)

    def litter(self) -> list[str]:
        """Return every file that is neither an archive, nor packrat's own state, nor the source."""
        own = {self.key_file, self.config_file, self.root / "password"}
        kept = (self.source, self.state / "locks", self.state / "record", self.root / "out")
        return sorted(
            str(file.relative_to(self.root))
            for file in self.root.rglob("*")
            if (
                not file.is_dir()
                and file not in own
                and not any(file.is_relative_to(folder) for folder in kept)
                and not file.name.startswith(("catalog.sqlite", "history.sqlite"))
                and not (file.suffix == ".packrat" and file.parent.name == self.service)
                and not file.name.startswith("ignored-")
            )
            or (file.is_relative_to(self.state / "spool") and not file.is_dir())
        )

    def password_file(self, password: str = PASSWORD) -> str:
        """Write a password file; return its path."""
        path = self.root / "password"
        path.write_text(password + "\n")
        path.chmod(0o600)
        return str(path)

    def cli(self, *words: str, wrap: tuple[str, ...] | None = None) -> Done:
        """Run a command; with `wrap`, even an empty one, in a process of its own."""
        words = ("-c", str(self.config_file), *words)
        return packrat(*words) if wrap is None else in_a_process(*words, wrap=wrap)

    def json(self, *words: str, wrap: tuple[str, ...] | None = None, status: int = 0) -> Any:
        """Run a command with --json; return its document."""
        done = self.cli(*words, "--json", wrap=wrap)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)
