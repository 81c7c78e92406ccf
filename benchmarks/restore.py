"""Restores compared with restic's and borg's: from a folder, S3 and SFTP, fresh and incremental.

Each program backs up the tree to one folder, and two servers on this machine, `rclone serve s3` and
OpenSSH, serve the same files, so that only the way to them differs.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from typing_extensions import override

from benchmarks import tree
from benchmarks.measure import Cost, new_folder
from benchmarks.peers import Borg, Packrat, Restic
from benchmarks.report import MB, verdict
from tests.helpers.servers import KEY, SECRET, S3Server, SshServer

INCREMENTALS = 60
PLACES = ("local", "s3", "nas")
FULL, ONE = "full restore", "one file"
WANTED = {FULL: {"local": 0.6, "s3": 0.75, "nas": 0.75}, ONE: {"local": 0.6, "s3": 1.0, "nas": 1.0}}
MOST_MEMORY = 250


@dataclass
class Servers:
    """The two servers, and the folder that both of them serve."""

    s3: S3Server
    nas: SshServer

    @property
    def folder(self) -> Path:
        """Folder of the repositories."""
        return self.s3.folder / "bucket"


class PackratFrom(Packrat):
    """Packrat, with the same files at three destinations."""

    servers: Servers
    position = "local"

    @override
    def prepare(self) -> None:
        at = self.repository
        places = {
            "local": {"type": "local", "path": str(at)},
            "s3": self.servers.s3.destination() | {"path": at.name},
            "nas": self.servers.nas.destination(str(at)),
        }
        config = {
            "encryption": {"key_file": str(self.home / "key")},
            "services": {"bench": {"path": str(self.tree), "destinations": ["local"]}},
            "backup": {"destinations": places, "retain_backups": 1000},
        }
        (self.home / "packrat.yaml").write_text(json.dumps(config))
        self.run(*self.programs, "init", "--password-file", str(self.password_file))

    @override
    def restore(self, target: Path, path: str | None = None) -> Cost:
        some = ["--path", path] if path else []
        command = [*self.programs, "restore", "bench", "--from", self.position, "--yes", *some]
        return self.run(*command, "--to", str(target))


class ResticFrom(Restic):
    """Restic, with the same repository behind three addresses."""

    servers: Servers
    position = "local"

    @override
    def environment(self) -> dict[str, str]:
        s3 = self.servers.s3
        addresses = {
            "local": str(self.repository),
            "s3": f"s3:http://127.0.0.1:{s3.port}/bucket/{self.repository.name}",
            "nas": f"sftp:root@127.0.0.1:{self.repository}",
        }
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        return super().environment() | keys | {"RESTIC_REPOSITORY": addresses[self.position]}

    @override
    def restore(self, target: Path, path: str | None = None) -> Cost:
        some = ["--include", f"/{path}"] if path else []
        nas = self.servers.nas
        ssh = f"ssh -p {nas.port} -i {nas.folder / 'user'} root@127.0.0.1"
        options = f"{ssh} -o UserKnownHostsFile={nas.known_hosts} -s sftp"
        command = ["restic", "-o", f"sftp.command={options}"]
        return self.run(*command, "restore", "--quiet", "latest", "--target", str(target), *some)


class BorgFrom(Borg):
    """Borg, which only speaks to another borg: from a folder."""

    servers: Servers
    position = "local"

    @override
    def restore(self, target: Path, path: str | None = None) -> Cost:
        some = [path] if path else []
        command = ("borg", "extract", "--numeric-ids", f"::{self.backups}", *some)
        return self.run(*command, cwd=target)


@dataclass
class Figures:
    """Seconds and memory by operation, place, time and program."""

    costs: dict[str, list[Cost]] = field(default_factory=dict)

    def note(self, what: str, cost: Cost) -> None:
        """Record and print one measurement."""
        self.costs.setdefault(what, []).append(cost)
        print(f"  {what:<52}{cost.wall:8.2f} s {cost.memory / MB:6.0f} MB", flush=True)

    def wall(self, what: str) -> float | None:
        """Return the median of the seconds."""
        return median(c.wall for c in self.costs[what]) if what in self.costs else None


def measure(work: Path, source: Path, rounds: int, *, incrementals: int) -> dict[str, object]:
    """Run everything; return the figures."""
    shutil.rmtree(work, ignore_errors=True)
    servers = Servers(S3Server(work / "s3"), SshServer(work / "nas"))
    figures = Figures()
    with servers.s3.up(), servers.nas.up():
        peers = _peers(source, work, servers)
        for peer in peers:
            peer.init()
            peer.backup()
        some = [path for path in tree.files_of(source / "files") if not path.is_symlink()]
        one = str(some[len(some) // 2].relative_to(source))
        _restores(figures, peers, work / "restored", one, "fresh", rounds)
        for number in range(incrementals):
            tree.change(source, turn=1000 + number)
            for peer in peers:
                peer.backup()
            print(f"\r  incremental {number + 1} of {incrementals}", end="", flush=True)
        print()
        when = f"after {incrementals}"
        _restores(figures, peers, work / "restored", one, when, rounds)
    shutil.rmtree(work / "restored")
    _verdicts(figures, ["fresh", when])
    return {"costs": figures.costs, "incrementals": incrementals}


Restoring = PackratFrom | ResticFrom | BorgFrom


def _peers(source: Path, work: Path, servers: Servers) -> list[Restoring]:
    peers: list[Restoring] = []
    for kind in (PackratFrom, ResticFrom, BorgFrom):
        if missing := kind.missing():
            print(f"{kind.name} is left out: no {', '.join(missing)}")
            continue
        peer = kind(source, work / kind.name)
        peer.servers = servers
        peer.repository = servers.folder / kind.name
        peers.append(peer)
    return peers


def _restores(
    figures: Figures, peers: list[Restoring], target: Path, one: str, when: str, rounds: int
) -> None:
    def restored(peer: Restoring, path: str | None) -> Cost:
        return peer.restore(new_folder(target), path)

    for _ in range(rounds):
        for position in PLACES:
            for peer in peers:
                if position != "local" and isinstance(peer, Borg):
                    continue
                peer.position = position
                for what, path in ((FULL, None), (ONE, one)):
                    figures.note(f"{what}, {position}, {when}: {peer.name}", restored(peer, path))
                peer.position = "local"


def _verdicts(figures: Figures, times: list[str]) -> None:
    for when in times:
        for what, bars in WANTED.items():
            for position, most in bars.items():
                ours = figures.wall(f"{what}, {position}, {when}: packrat")
                theirs = figures.wall(f"{what}, {position}, {when}: restic")
                if ours and theirs:
                    print(verdict(f"{what}, {position}, {when}: of restic's", ours / theirs, most))
    peaks = [c.memory for what, costs in figures.costs.items() if "packrat" in what for c in costs]
    print(verdict("memory of packrat, MB", max(peaks) / MB, MOST_MEMORY))
