"""Loader of configuration files: a valid `Config`, or every fault at once."""

import os
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from specs.checks import cross_faults, missing_values
from specs.config import Config
from specs.document import Document, KeyPath, read_document
from specs.faults import ConfigFaults, Fault
from specs.secret import Secret
from specs.translate import translate
from specs.trust import distrust, distrusted
from stages.masking import never_mask

PLACES = ("~/.config/packrat/config.yaml", "/etc/packrat/config.yaml")
HERE = "packrat.yaml"
"""The last candidate, because it depends on the working folder."""


def find_config(explicit: str | None = None) -> str:
    """Return the configuration file: the one given, $PACKRAT_CONFIG, or the first that exists.

    The one in the working folder comes last, and only if no other user can write to it or the
    folder.

    Raises:
        ConfigFaults: There is none.
    """
    given = explicit or os.environ.get("PACKRAT_CONFIG")
    if given:
        return given
    for place in map(os.path.expanduser, PLACES):
        if os.path.exists(place):
            return place
    faults = []
    if os.path.lexists(HERE):
        # The folder by itself: a sticky one such as /tmp is writable by everybody.
        found = distrust(os.getcwd()) or distrust(HERE)
        if found is None:
            return HERE
        reason = f"not used: {found.path} {found.reason}"
        faults = [Fault(f"./{HERE}", 0, 0, "", reason, "name it with -c FILE if you mean it")]
    hint = (
        "packrat init --starter writes one to start with; or write"
        f" {', '.join(PLACES)} or ./{HERE}, or name one with -c FILE"
    )
    raise ConfigFaults([Fault("packrat", 0, 0, "", "no configuration found", hint), *faults])


def load_config(file: str) -> Config:
    """Read and validate a configuration file.

    Local paths become absolute, and each literal secret records its position in the file.

    Raises:
        ConfigFaults: Every fault, in the order of the file; or the key, state or spool folder
            could have been written by an untrusted user.
    """
    config, faults = validate(read_document(file))
    if faults or config is None:
        raise ConfigFaults(faults)
    return finished(config, file)


def validate(document: Document) -> tuple[Config | None, list[Fault]]:
    """Return the configuration, None if it is invalid, and every fault."""
    folder = os.path.dirname(os.path.abspath(document.file))
    found = list(document.faults)
    config = None
    try:
        config = Config.model_validate(document.data, context={"folder": folder})
    except ValidationError as error:
        found += translate(error, document, Config)
    crossed = list(cross_faults(document))
    found += crossed
    if _adds_stages(document):
        from specs.added_faults import added_faults  # loads all stages

        found += added_faults(document, None if crossed else config)
    # A refused value is not reported again for being empty, nor is anything inside it.
    refused = tuple(f"{fault.where}{end}" for fault in found for end in ".[")
    found += [
        fault for fault in missing_values(document) if not f"{fault.where}.".startswith(refused)
    ]
    return config, found


def finished(config: Config, file: str) -> Config:
    """Record the position of each literal secret of a valid configuration, and return it.

    Raises:
        ConfigFaults: The key, state or spool folder could have been written by an untrusted user.
    """
    for path, secret in secrets_at(config):
        pointer = "/".join(str(step).replace("~", "~0").replace("/", "~1") for step in path)
        # The one write to a frozen secret: only here is its position known.
        object.__setattr__(secret, "source", f"{os.path.abspath(file)}#/{pointer}")
    own = distrusted([config.encryption.key_file], [config.state_dir, config.spool_path])
    if faults := list(own):
        raise ConfigFaults(faults)
    never_mask(config.shown_words())
    return config


def _adds_stages(document: Document) -> bool:
    services = document.data.get("services")
    return isinstance(services, dict) and any(
        isinstance(service, dict) and "stages" in service for service in services.values()
    )


def secrets_of(config: Config) -> list[Secret]:
    """Return every secret of a configuration."""
    return [secret for _, secret in secrets_at(config)]


def literals_of(config: Config) -> dict[str, str]:
    """Return the text of each literal secret by its position, for `use_literals`."""
    return {s.source: s.value for s in secrets_of(config) if s.form == "text" and s.source}


def secrets_at(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Secret]]:
    """Yield every secret in a model with its path, which is also its path in the file."""
    if isinstance(value, Secret):
        yield path, value
    elif isinstance(value, BaseModel):
        for name, inner in value:
            yield from secrets_at(inner, (*path, name))
    elif isinstance(value, dict | tuple):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from secrets_at(inner, (*path, step))
