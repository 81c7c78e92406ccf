"""Network trials: uploads compared with rclone, both destinations at once, one file, the spool.

They use real servers on this machine, `rclone serve s3` and OpenSSH, as the tests start them.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.delayed import delayed
from benchmarks.measure import run
from benchmarks.report import MB, verdict
from packrat.program import Program
from packrat.restore.choose import choose
from packrat.restore.opened import OpenedBackup
from packrat.restore.restore import restore
from packrat.runs.backup import back_up
from specs.compile import compile_restore, compile_service
from specs.destinations.s3 import S3 as S3Destination  # noqa: N811
from specs.destinations.sftp import Sftp as SftpDestination
from specs.load import load_config
from tests.helpers.servers import KEY, SECRET, S3Server, SshServer
from vault.archive.derivation import SALT_BYTES, Derivation
from vault.archive.key_file import write_key_file
from vault.archive.keys import Keys
from vault.store.base import Store
from vault.store.local import Local
from vault.store.s3 import S3
from vault.store.sftp import Sftp

SIZE = 500 * MB
LIMIT = 40 << 20
DELAY = 20
"""Round trip in milliseconds of the distant line."""
SERVICE = "svc"
ARCHIVE = "svc-20260101T000000Z-00000000.packrat"


def measure(work: Path, rounds: int, *, quick: bool) -> dict[str, object]:
    """Run everything; return the figures."""
    shutil.rmtree(work, ignore_errors=True)
    size = 40 * MB if quick else SIZE
    s3, nas = S3Server(work / "s3"), SshServer(work / "nas")
    with s3.up(), nas.up():
        places = {"s3": s3.destination(), "nas": nas.destination("dir")}
        uploads = beside_rclone(work, places, s3, nas, size, rounds)
        with delayed(s3.port, DELAY) as far_s3, delayed(nas.port, DELAY) as far_nas:
            nas.trust(far_nas)
            far = {"s3": s3.destination(far_s3), "nas": nas.destination("dir", far_nas)}
            far_uploads = beside_rclone(work, far, s3, nas, size, rounds, f" at {DELAY} ms")
        together = both_at_once(work, places)
        one = one_file(work, places, 2_000 * MB * size // SIZE)
        spool = small_spool(work, places, 3_000 * MB * size // SIZE)
    uploads |= far_uploads
    return {"uploads": uploads, "together": together, "one_file": one, "spool": spool}


def write_noise(path: Path, size: int) -> Path:
    """Write incompressible bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = random.Random(size)
    with path.open("wb") as file:
        for _ in range(0, size, MB):
            file.write(chance.randbytes(MB))
    return path


def send(destination: Store, source: Local) -> float:
    """Upload the archive as a backup would; return the seconds."""
    size = source.size(SERVICE, ARCHIVE)
    begun = time.perf_counter()
    for _ in destination.write(SERVICE, ARCHIVE, source.parts(SERVICE, ARCHIVE, size)):
        pass
    destination.commit(SERVICE, ARCHIVE, lambda _: None)
    seconds = time.perf_counter() - begun
    destination.delete(SERVICE, ARCHIVE)
    return seconds


def opened(places: dict[str, dict[str, object]], limit: int | None = None) -> dict[str, Store]:
    """Open destinations from the servers' settings."""
    opened = {
        "s3": S3Destination.model_validate(places["s3"] | {"path": "bench", "limit": limit}),
        "nas": SftpDestination.model_validate(places["nas"] | {"path": "bench", "limit": limit}),
    }
    return {name: one.open(name, "") for name, one in opened.items()}


def beside_rclone(
    work: Path,
    places: dict[str, dict[str, object]],
    s3: S3Server,
    nas: SshServer,
    size: int,
    rounds: int,
    line: str = "",
) -> dict[str, list[float]]:
    """Upload one file with packrat and with `rclone copyto`, in turns; `line` names the way."""
    file = write_noise(work / "source" / SERVICE / ARCHIVE, size)
    source = Local("source", str(work / "source"))
    config = work / "rclone.conf"
    config.write_text(
        f"[s3]\ntype=s3\nprovider=Other\naccess_key_id={KEY}\nsecret_access_key={SECRET}\n"
        f"endpoint={places['s3']['endpoint']}\n"
        f"[nas]\ntype=sftp\nhost=127.0.0.1\nport={places['nas']['port']}\nuser=root\n"
        f"key_file={nas.folder / 'user'}\nknown_hosts_file={nas.known_hosts}\n"
    )
    targets = {"s3": "s3:bucket/rclone.bin", "nas": "nas:rclone.bin"}
    destinations = opened(places)
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, target in targets.items():
            found.setdefault(f"packrat {name}{line}", []).append(send(destinations[name], source))
            command = [s3.program, "-q", "--config", str(config), "copyto", str(file), target]
            begun = time.perf_counter()
            subprocess.run(command, check=True)
            found.setdefault(f"rclone {name}{line}", []).append(time.perf_counter() - begun)
            subprocess.run([*command[:4], "deletefile", target], check=True)
    for name, least in (("s3", 0.9), ("nas", 0.75)):
        ratio = median(found[f"packrat {name}{line}"]) / median(found[f"rclone {name}{line}"])
        print(verdict(f"upload to {name}{line}: seconds of packrat/rclone", ratio, 1 / least))
    return found


def both_at_once(work: Path, places: dict[str, dict[str, object]]) -> dict[str, float]:
    """Upload to both at once, unlimited and limited, and to the slower one alone."""
    source = Local("source", str(work / "source"))
    ratios = {}
    for label, limit, most in (("unlimited", None, 1.8), ("40 MiB/s each", LIMIT, 1.15)):
        alone = max(send(d, source) for d in opened(places, limit).values())
        threads = [
            threading.Thread(target=send, args=(d, source)) for d in opened(places, limit).values()
        ]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ratios[label] = (time.perf_counter() - begun) / alone
        print(verdict(f"both at once, {label}: of the slower alone", ratios[label], most))
    return ratios


def configured(work: Path, places: dict[str, dict[str, object]], more: str = "") -> Path:
    """Write a configuration of one service with a key; return the file."""
    config, key = work / "packrat.yaml", work / "key"
    document = {
        "services": {SERVICE: {"path": str(work / "data")}},
        "backup": {"destinations": places},
        "encryption": {"key_file": str(key)},
        "state_dir": str(work / f"state{more}"),
        "spool": {"max_size": "256 MiB", "min_free": 0},
    }
    config.write_text(json.dumps(document))
    if not key.exists():
        write_key_file(str(key), Keys.create("bench", Derivation(os.urandom(SALT_BYTES))))
    return config


@contextmanager
def counting() -> Iterator[Callable[[], dict[str, int]]]:
    """Count the bytes that are requested from destinations, in the transport's one method."""
    counts: dict[str, int] = {}
    kinds: tuple[Any, ...] = (S3, Sftp)
    originals = [kind.read for kind in kinds]

    def counted(original: Callable[..., bytes]) -> Callable[..., bytes]:
        def read(self: Store, *arguments: Any) -> bytes:
            data = original(self, *arguments)
            counts[self.name] = counts.get(self.name, 0) + len(data)
            return data

        return read

    for kind, original in zip(kinds, originals, strict=True):
        kind.read = counted(original)
    try:
        yield lambda: counts
    finally:
        for kind, original in zip(kinds, originals, strict=True):
            kind.read = original


def one_file(work: Path, places: dict[str, dict[str, object]], size: int) -> dict[str, int]:
    """Restore a file of 100 KB out of a large backup; count what is read."""
    write_noise(work / "data" / "large", size)
    for number in range(1000):
        write_noise(work / "data" / "small" / f"{number:04}", MB)
        os.truncate(work / "data" / "small" / f"{number:04}", 100_000)
    config = str(configured(work, places))
    result = back_up(compile_service(load_config(config), SERVICE))
    if result.status != "done":
        sys.exit(f"backup: {result.error}")
    found = {}
    for name in places:
        program = Program(config)
        program.cache.forget(program.destination(name), program.record)
        with counting() as counts:
            chosen = choose(program, SERVICE, source=name)
            opened = OpenedBackup(SERVICE, chosen, program.keys)
            target, id_ = str(work / f"one-{name}"), opened.manifest.id
            paths = ("small/0500",)
            restore(compile_restore(program.config, SERVICE, id_, name, paths, target), opened)
        found[name] = counts()[name]
        print(verdict(f"one file from {name}: MiB read", found[name] / (1 << 20), 16))
    return found


def small_spool(work: Path, places: dict[str, dict[str, object]], size: int) -> dict[str, float]:
    """Back up more than the spool takes to a slow destination: memory and disk stay bounded."""
    shutil.rmtree(work / "data")
    write_noise(work / "data" / "large", size)
    slow = {"nas": places["nas"] | {"limit": "20 MiB/s", "path": "slow"}}
    config = configured(work, slow, "-slow")
    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.05):
            for path in work.glob("state-slow/spool/*/.*.part"):
                with suppress(FileNotFoundError):
                    most = max(most, path.stat().st_blocks * 512)

    watcher = threading.Thread(target=watch)
    watcher.start()
    command = [sys.executable, "-m", "packrat", "-c", str(config), "backup", SERVICE]
    cost = run(command, log=work / "log")
    over.set()
    watcher.join()
    print(verdict("a spool of 256 MiB: MiB on disk at the most", most / (1 << 20), 256))
    print(verdict("memory, MB", cost.memory / MB, 300))
    return {"disk": most, "memory": cost.memory}
