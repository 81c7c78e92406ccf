"""Worker process that sends notifications: `python -m packrat.notify.worker` < messages.

The libraries of notification services are large and slow. In a process of their own they delay no
backup, and their memory is released.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from packrat.notify.sender import Message
from specs.config import Notify
from specs.secret import Secret, SecretFault, use_literals
from stages.masking import masked, never_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WAITS = (1.0, 3.0, 9.0)
"""Seconds before each retry."""
PING_SECONDS = 10.0


def send_all(recipients: Notify, ping: Secret | None, messages: list[Message]) -> list[str]:
    """Send all messages to each service in order; return a sentence for each failure."""
    requested = [one for one in messages if one.is_requested(recipients.on)]
    pings = [one for one in messages if one.ping]
    work: list[Callable[[], list[str]]] = []
    if requested:
        work += [partial(_notify, secret, requested) for secret in recipients.urls]
    if ping and pings:
        work.append(partial(_ping_all, ping, _without_superseded(pings)))
    with ThreadPoolExecutor(max(len(work), 1)) as threads:
        return [problem for problems in threads.map(lambda do: do(), work) for problem in problems]


def _without_superseded(pings: Iterable[Message]) -> list[Message]:
    """Drop a start whose end is sent as well: the switch would see a run of no length."""
    kept: list[Message] = []
    for one in pings:
        if one.ping != "start" and kept and kept[-1].ping == "start":
            kept.pop()
        kept.append(one)
    return kept


def _notify(secret: Secret, messages: list[Message]) -> list[str]:
    try:
        url = secret.resolve()
    except SecretFault as error:
        return [f"a message was not sent: {error}"]
    return notify_service(url, messages)


def notify_service(url: str, messages: list[Message]) -> list[str]:
    """Send messages to one service in order; return a sentence for each failure."""
    import apprise

    logging.getLogger("apprise").disabled = True  # it would log the URL
    where = f"notification service {urlsplit(url).scheme}"
    service = apprise.Apprise()
    if not service.add(url):
        return [f"{where}: apprise does not support this kind of URL"]
    kinds = {
        "failure": apprise.NotifyType.FAILURE,
        "partial": apprise.NotifyType.WARNING,
        "overdue": apprise.NotifyType.WARNING,
        "unprotected": apprise.NotifyType.WARNING,
    }
    problems = []
    for one in messages:
        kind = kinds.get(str(one.outcome), apprise.NotifyType.SUCCESS)

        def send(one: Message = one, kind: Any = kind) -> bool:
            return bool(service.notify(title=one.title, body=one.body, notify_type=kind))

        if not _send_with_retries(send):
            problems.append(f"{where}: did not accept the message '{one.title}'")
    return problems


def _ping_all(secret: Secret, pings: list[Message]) -> list[str]:
    from urllib.request import Request, urlopen

    try:
        url = secret.resolve().rstrip("/")
    except SecretFault as error:
        return [f"ping: {error}"]
    problems = []
    for one in pings:
        address = url + {"start": "/start", "fail": "/fail"}.get(str(one.ping), "")
        request = Request(address, (one.ping_body or one.body).encode(), {"User-Agent": "packrat"})  # noqa: S310

        def send(request: Request = request) -> bool:
            with urlopen(request, timeout=PING_SECONDS) as answer:  # noqa: S310
                return bool(answer.status)

        if not _send_with_retries(send):
            problems.append(f"ping: {urlsplit(url).hostname} did not accept '{one.ping}'")
    return problems


def _send_with_retries(send: Callable[[], bool]) -> bool:
    """Send with retries; return whether it succeeded."""
    for wait in (*WAITS, None):
        try:
            if send():
                return True
        except Exception:  # noqa: BLE001, S110 (a library may raise anything, and a retry may help)
            pass
        if wait is not None:
            time.sleep(wait)
    return False


def main() -> None:
    """Read a batch, send it, and print the failures."""
    logging.disable(logging.CRITICAL)  # apprise would log URLs
    batch = json.load(sys.stdin)
    use_literals(batch["literals"])
    never_mask(batch["unmasked"])
    ping = batch["ping"] and Secret.parse(batch["ping"])
    messages = [Message(**one) for one in batch["messages"]]
    for problem in send_all(Notify.model_validate(batch["notify"]), ping, messages):
        print(masked(problem), file=sys.stderr)


if __name__ == "__main__":
    main()
