"""MariaDB and MySQL: `mariadb-dump` for each database, and their client loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal

from stages.databases.base import Server, Tools, file_of, from_environment, name_of
from stages.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stages.databases.base import Settings

SUFFIX = ".sql"
END = b"\n-- Dump completed\n"

# MySQL's images have programs of other names.
CLIENT = """client=mariadb; command -v mariadb >/dev/null || client=mysql
run() { "$client" ${PACKRAT_USER:+--user="$PACKRAT_USER"} "$@"; }
"""
LIST = (
    CLIENT  # noqa: S608 (nothing is inserted)
    + 'run -N -B -e "SELECT hex(convert(schema_name USING utf8mb4))'
    " FROM information_schema.schemata WHERE schema_name NOT IN"
    " ('information_schema', 'performance_schema', 'mysql', 'sys')\""
)
DUMP = (
    "program=mariadb-dump; command -v mariadb-dump >/dev/null || program=mysqldump\n"
    'exec $program ${PACKRAT_USER:+--user="$PACKRAT_USER"} --single-transaction --quick --routines'
    " --events --triggers --hex-blob --no-tablespaces --default-character-set=utf8mb4"
    ' --skip-dump-date --databases -- "$1"'
)
LOAD = (
    CLIENT + 'run -e "DROP DATABASE IF EXISTS $1" </dev/null\n'
    "run --default-character-set=utf8mb4 --binary-mode"
)


class MariaDB(Server):
    """MariaDB or MySQL in a container."""

    kind: Literal["mariadb", "mysql"]
    databases: tuple[str, ...] = ()
    """Databases to dump; all but those of the server itself if empty."""

    title: ClassVar[str] = "MariaDB"
    # The root password if the container has one, or else the user that its image has created.
    script: ClassVar[str] = (
        from_environment("root", "MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD")
        + 'if [ -n "$root" ] && [ "${PACKRAT_USER:-root}${MYSQL_PWD:-}" = root ]; then\n'
        + 'MYSQL_PWD="$root"; PACKRAT_USER=root\n'
        + "else\n"
        + from_environment("PACKRAT_USER", "MARIADB_USER", "MYSQL_USER")
        + from_environment("MYSQL_PWD", "MARIADB_PASSWORD", "MYSQL_PASSWORD")
        + "fi\n"
        + "export MYSQL_PWD\n"
    )
    user_variable: ClassVar[str] = "PACKRAT_USER"
    password_variable: ClassVar[str] = "MYSQL_PWD"  # noqa: S105
    data_folders: ClassVar[tuple[str, ...]] = (
        "/var/lib/mysql",
        "/bitnami/mariadb",
        "/bitnami/mysql",
    )

    def files(self, tools: Tools) -> list[str]:
        """Return one file for each database; raises SourceError."""
        names = self.databases or self.names(LIST, tools)
        return [file_of(name, SUFFIX) for name in sorted(names)]

    def dump(self, file: str, tools: Tools) -> Iterator[bytes]:
        """Yield the dump of one database; raises SourceError unless it is whole."""
        name = name_of(file, SUFFIX)
        tail = b""
        for piece in self.program(f"the dump of {name!r}", DUMP, (name,), tools):
            tail = (tail + piece)[-len(END) :]
            yield piece
        if tail != END:
            raise SourceError(
                f"the dump of {name!r} of {self.where} does not end with -- Dump completed",
                "try mariadb-dump by hand with docker exec",
            )

    def load(self, file: str, data: BinaryIO, tools: Tools, settings: Settings) -> None:  # noqa: ARG002
        """Replace a database; raises SourceError."""
        name = name_of(file, SUFFIX)
        quoted = "`" + name.replace("`", "``") + "`"
        for _ in self.program(f"the load of {name!r}", LOAD, (quoted,), tools, data):
            pass
