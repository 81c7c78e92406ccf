"""Pipeline with every kind of stage that a backup has, for tests of the graph."""

import pytest

from engine.graph import Graph, GraphFaults
from stages.given import GIVEN
from stages.kinds import KINDS

DATABASE = {"kind": "sqlite", "label": "sqlite-db", "path": "/srv/db"}
PARAMS = {
    "preflight": {"read": {"path": "/srv"}},
    "warm": {},
    "collect": {},
    "upload": {"destination": "d"},
    "confirm": {"destination": "d"},
    "catch_up": {"destination": "d", "keep": 3},
    "prune": {"destination": "d", "keep": 3},
    "verify": {"destination": "d", "keep": 3},
    "prove_dumps": {"destination": "d"},
    "command": {"command": "true"},
    "commands": {"first": {"command": "true"}, "then": {"command": "true"}},
    "post_restore": {"command": "true"},
    "containers": {"names": ["c"], "stop_timeout": 7},
    "undo": {"service": "svc", "read": {"path": "/srv"}},
    "dump": {"databases": [DATABASE]},
    "set_aside": {"service": "svc", "databases": [DATABASE]},
}
"""Parameters of the kinds that require any."""


def _branch(destination):
    where = {"destination": destination}
    return {
        f"catch_up:{destination}": {"kind": "catch_up", "keep": 3, **where, "after": ["spool"]},
        f"upload:{destination}": {"kind": "upload", **where, "after": [f"catch_up:{destination}"]},
        f"confirm:{destination}": {"kind": "confirm", **where, "after": [f"upload:{destination}"]},
    }


SERVICE = {
    "preflight": {"kind": "preflight", "read": {"path": "/srv"}},
    "survey": {"kind": "survey", "after": ["preflight"]},
    "base": {"kind": "base", "after": ["survey"]},
    "source": {"kind": "source", "after": ["base"]},
    "pre_backup": {
        "kind": "commands",
        "first": {"command": "true"},
        "then": {"command": "true"},
        "after": ["source"],
    },
    "warm": {"kind": "warm", "after": ["pre_backup"]},
    "stop": {"kind": "containers", "names": ["c"], "stop_timeout": 7, "after": ["warm"]},
    "collect": {"kind": "collect", "after": ["stop"]},
    "start": {"releases": "stop", "after": ["collect"]},
    "post_backup": {"releases": "pre_backup", "after": ["start"]},
    "gather": {"kind": "gather", "after": ["post_backup"]},
    "chunk": {"kind": "chunk", "after": ["gather"]},
    "pack": {"kind": "pack", "after": ["chunk"]},
    "compress": {"kind": "compress", "level": 7, "after": ["pack"]},
    "encrypt": {"kind": "encrypt", "after": ["compress"]},
    "spool": {"kind": "spool", "after": ["encrypt"]},
    **_branch("s3"),
    **_branch("nas"),
    "prune:nas": {"kind": "prune", "destination": "nas", "keep": 3, "after": ["confirm:nas"]},
    "last": {"kind": "survey", "after": ["confirm:s3", "prune:nas"]},
}


def build(spec):
    """Build the graph of a backup."""
    return Graph.build(spec, KINDS, GIVEN["backup"])


def faults(spec):
    """Return the faults of a document that does not build."""
    with pytest.raises(GraphFaults) as caught:
        build(spec)
    return caught.value.faults
