"""Checks of `notify.urls` before the first message is due."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from specs.document import read_document
from specs.secret import SecretFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs.config import Config
    from specs.faults import Fault


def unknown_urls(config: Config, file: str) -> Iterator[Fault]:
    """Yield a fault for each URL that apprise does not know; one from a command is not read."""
    if not config.notify.urls:
        return
    import apprise

    logging.getLogger("apprise").disabled = True  # it would log the URL
    document = read_document(file)
    for number, secret in enumerate(config.notify.urls):
        if secret.form == "command":
            continue
        try:
            url = secret.resolve()
        except SecretFault:  # `check` reports it among all secrets
            continue
        if not apprise.Apprise().add(url):
            scheme = urlsplit(url).scheme
            kind = f" ({scheme}://)" if scheme else ""
            yield document.fault(
                ("notify", "urls", number),
                f"apprise does not know this kind of URL{kind}",
                "see https://github.com/caronc/apprise/wiki for the form of each service",
            )
