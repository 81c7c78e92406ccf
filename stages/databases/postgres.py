"""PostgreSQL: `pg_dump` for each database and `pg_dumpall` for roles; `pg_restore` loads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal

from stages.databases.base import Server, Tools, file_of, from_environment, name_of
from stages.databases.pg_restore import read_through
from stages.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stages.databases.base import Settings

GLOBALS = "globals.sql"
"""Roles, their passwords, and tablespaces."""
SUFFIX = ".dump"
MAGIC = b"PGDMP"
GLOBALS_END = b"-- PostgreSQL database cluster dump complete"
TAIL_BYTES = 200
ASIDE_NAME = 12
"""Characters of a database's name in that of the one that steps aside; names have 63 bytes."""

# All programs connect to template1, because no load replaces it.
LIST = (
    "exec psql -XAtq -d template1 -c \"SELECT encode(convert_to(datname, 'UTF8'), 'hex')"
    ' FROM pg_database WHERE datallowconn AND NOT datistemplate"\n'
)
# Uncompressed, because Packrat compresses after it has found what it has already.
DUMP = 'exec pg_dump -Fc -Z0 --no-password -d "$1"'
DUMP_GLOBALS = "exec pg_dumpall --globals-only --no-password"
LOAD_GLOBALS = "exec psql -Xq -d template1 -o /dev/null"  # a role that exists is no error

# The present database steps aside, so that it comes back if the load fails or is interrupted.
# Connections of programs that are not stopped would prevent that.
LOAD = r"""
trap : TERM
sql() { psql -XAtq -v ON_ERROR_STOP=1 -d template1 -v name="$1" -v aside="$2" >/dev/null; }
sql "$2" "$3" <<'EOF'
DROP DATABASE IF EXISTS :"aside";
SELECT format('ALTER DATABASE %I ALLOW_CONNECTIONS false', datname) FROM pg_database
 WHERE datname = :'name' \gexec
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :'name';
SELECT format('ALTER DATABASE %I RENAME TO %I', datname, :'aside') FROM pg_database
 WHERE datname = :'name' \gexec
EOF
if pg_restore --create --exit-on-error --no-password -d template1; then
sql "$2" "$3" <<'EOF'
DROP DATABASE IF EXISTS :"aside";
EOF
else
sql "$2" "$3" <<'EOF'
DROP DATABASE IF EXISTS :"name";
SELECT format('ALTER DATABASE %I RENAME TO %I', datname, :'name') FROM pg_database
 WHERE datname = :'aside' \gexec
SELECT format('ALTER DATABASE %I ALLOW_CONNECTIONS true', datname) FROM pg_database
 WHERE datname = :'name' \gexec
EOF
exit 1
fi
"""


class Postgres(Server):
    """PostgreSQL in a container."""

    kind: Literal["postgres"]
    databases: tuple[str, ...] = ()
    """Databases to dump; all if empty."""

    title: ClassVar[str] = "PostgreSQL"
    script: ClassVar[str] = (
        from_environment("PGUSER", "POSTGRES_USER")
        + 'PGUSER="${PGUSER:-postgres}"\n'
        + from_environment("PGPASSWORD", "POSTGRES_PASSWORD")
        + 'if [ -z "$PGPASSWORD" ]; then unset PGPASSWORD; fi\n'
    )
    user_variable: ClassVar[str] = "PGUSER"
    password_variable: ClassVar[str] = "PGPASSWORD"  # noqa: S105
    data_folders: ClassVar[tuple[str, ...]] = ("/var/lib/postgresql", "/bitnami/postgresql")

    def files(self, tools: Tools) -> list[str]:
        """Return one file for each database, and one for the roles; raises SourceError."""
        names = self.databases or self.names(LIST, tools)
        return [*(file_of(name, SUFFIX) for name in sorted(names)), GLOBALS]

    def loads_late(self, file: str) -> bool:
        """Return whether a file relies on the roles."""
        return file != GLOBALS

    def dump(self, file: str, tools: Tools) -> Iterator[bytes]:
        """Yield one file of the dump; raises SourceError unless it is whole."""
        if file == GLOBALS:
            tail = b""
            for piece in self.program("the dump of the roles", DUMP_GLOBALS, (), tools):
                tail = (tail + piece)[-TAIL_BYTES:]
                yield piece
            if GLOBALS_END not in tail:
                raise self._unfinished(file)
            return
        name = name_of(file, SUFFIX)
        begun = b""
        for piece in self.program(f"the dump of {name!r}", DUMP, (connection(name),), tools):
            begun = begun or piece
            yield piece
        if not begun.startswith(MAGIC):
            raise self._unfinished(file)

    @classmethod
    def has_proof(cls, file: str) -> bool:
        """Return whether a file is the dump of a database."""
        return file.endswith(SUFFIX)

    @classmethod
    def prove(cls, file: str, pieces: Iterator[bytes], check: Callable[[], None]) -> None:  # noqa: ARG003
        """Read a dump with `pg_restore`; raises UnsoundDump and NotProven."""
        read_through(pieces, check)

    def load(self, file: str, data: BinaryIO, tools: Tools, settings: Settings) -> None:  # noqa: ARG002
        """Replace a database; add roles that are missing. Raises SourceError."""
        name = name_of(file, SUFFIX)
        script, what = (LOAD, repr(name)) if file != GLOBALS else (LOAD_GLOBALS, "the roles")
        arguments = (connection(name), name, name[:ASIDE_NAME] + " (replaced)")
        for _ in self.program(f"the load of {what}", script, arguments, tools, data):
            pass

    def _unfinished(self, file: str) -> SourceError:
        return SourceError(
            f"the dump of {self.where}, {file}, lacks its own beginning or end",
            "try pg_dump by hand with docker exec",
        )


def connection(name: str) -> str:
    """Return a connection string for a database: a plain name may be taken for one."""
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{quoted}'"
