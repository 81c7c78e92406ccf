"""`packrat notify --test`: a message to each notification service, to see that it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.errors import Exit, UsageError
from packrat.notify.sender import Message
from packrat.notify.worker import notify_service
from packrat.text.report import print_json
from specs.faults import printable
from specs.secret import SecretFault
from stages.masking import masked

if TYPE_CHECKING:
    from packrat.program import Program


def send_test(program: Program, *, as_json: bool) -> int:
    """Send a test message to each service; return FAILED if one did not accept it."""
    config = program.config
    if not config.notify.urls:
        raise UsageError("notify.urls is empty: there is no service to send a test message to")
    title = f"packrat on {config.host}: test message"
    message = Message("success", title, f"Messages are sent on: {', '.join(config.notify.on)}.")
    rows: list[dict[str, Any]] = []
    for number, secret in enumerate(config.notify.urls):
        try:
            problems = notify_service(secret.resolve(), [message])
        except SecretFault as fault:  # the row says which secret it is
            problems = [f"not sent: {fault.reason}; {fault.hint}"]
        problem = masked(problems[0]) if problems else None
        rows.append({"url": f"notify.urls[{number}]", "problem": problem})
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            print(printable(f"{row['url']}: {row['problem'] or 'sent'}"))
        if config.ping:
            print("ping: not tested, because that would reset the dead man's switch")
    return Exit.FAILED if any(row["problem"] for row in rows) else Exit.DONE
