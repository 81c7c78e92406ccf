"""Prometheus metrics of all services, collected for each scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat import __version__
from vault.archive.format import unstamp

if TYPE_CHECKING:
    from collections.abc import Iterable

STATUSES = ("done", "partial", "failed", "killed", "interrupted")


def exposition(rows: Iterable[dict[str, Any]], *, config_ok: bool) -> bytes:
    """Return the rows of `status` in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"packrat_{name}", text, labels, registry=registry)

    gauge("info", "The version of packrat.", "version").labels(__version__).set(1)
    gauge("config_ok", "1 if the configuration file is valid.").set(config_ok)
    last = gauge("last_run_timestamp_seconds", "When the last run began.", "service")
    status = gauge("last_run_status", "1 for how the last run ended.", "service", "status")
    numbers = {
        "seconds": gauge("last_run_seconds", "How long the last run took.", "service"),
        "downtime_seconds": gauge(
            "last_run_downtime_seconds", "How long its containers were stopped.", "service"
        ),
        "read": gauge("last_run_read_bytes", "What the last run read from its source.", "service"),
        "stored": gauge("last_run_stored_bytes", "The size of its archive.", "service"),
    }
    coming = gauge("next_run_timestamp_seconds", "When the next run is due.", "service")
    newest = gauge(
        "newest_backup_timestamp_seconds", "The newest backup there.", "service", "destination"
    )
    damaged = gauge(
        "damaged_archives", "Archives there that are damaged.", "service", "destination"
    )
    verified = gauge("verified_timestamp_seconds", "When an archive was last proven.", "service")
    running = gauge("running", "1 while a run goes on.", "service")
    overdue = gauge("overdue", "1 when the newest backup is too old.", "service")
    for row in rows:
        service = row["service"]
        running.labels(service).set(row["running"] is not None)
        overdue.labels(service).set(row["overdue"])
        if row["next"]:
            coming.labels(service).set(unstamp(row["next"]))
        if row["verified"]:
            verified.labels(service).set(unstamp(row["verified"]))
        for place, at in row["destinations"].items():
            damaged.labels(service, place).set(at["damaged"])
            if at["newest"]:
                newest.labels(service, place).set(unstamp(at["newest"]))
        if row["last"]:
            last.labels(service).set(unstamp(row["last"]["started"]))
            for one in STATUSES:
                status.labels(service, one).set(row["last"]["status"] == one)
            for key, metric in numbers.items():
                if row["last"][key] is not None:
                    metric.labels(service).set(row["last"][key])
    return bytes(generate_latest(registry))
