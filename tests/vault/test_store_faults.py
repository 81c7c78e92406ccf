"""Exception tables: complete, so that whatever the libraries raise has a meaning."""

import importlib
import inspect
import pkgutil

import aiohttp.client_exceptions
import aiohttp.http_exceptions
import asyncssh
import botocore.exceptions
import pytest
import webdav4.client
from s3fs.errors import ERROR_CODE_TO_EXCEPTION, translate_boto_error

from vault.errors import Away, NotThere, Retryable
from vault.store import fs_faults, s3_faults, sftp_faults
from vault.store.faults import lookup, qualified
from vault.store.local import Local
from vault.store.s3 import S3
from vault.store.s3_faults import CODES, answered
from vault.store.sftp import Sftp
from vault.store.sftp_login import Login

CATCH_ALL = "builtins.Exception"


def exceptions_of(package):
    """Return every exception class that a library defines."""
    modules = [package]
    if hasattr(package, "__path__"):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                modules.append(importlib.import_module(found.name))
            except (ImportError, OSError):  # only available on another system
                continue
    top = package.__name__.partition(".")[0]
    return {
        kind
        for module in modules
        for kind in vars(module).values()
        if inspect.isclass(kind)
        and issubclass(kind, Exception)
        and not issubclass(kind, Warning)
        and kind.__module__.partition(".")[0] == top
    }


def unknown(package, table):
    """Return the exceptions that a table only knows as generic ones."""
    known = set(table) - {CATCH_ALL}
    kinds = exceptions_of(package)
    assert kinds
    kinds = {kind for kind in kinds if not issubclass(kind, botocore.exceptions.ClientError)}
    return [kind for kind in kinds if not known & {qualified(base) for base in kind.__mro__}]


@pytest.mark.parametrize(
    ("package", "table"),
    [
        (asyncssh, sftp_faults.EXCEPTIONS),
        (botocore.exceptions, s3_faults.EXCEPTIONS),
        (aiohttp.client_exceptions, s3_faults.EXCEPTIONS),
        (aiohttp.http_exceptions, s3_faults.EXCEPTIONS),
        (webdav4.client, fs_faults.FAULTS),
    ],
)
def test_every_exception_of_a_library_is_in_its_table(package, table):
    """A new release that raises a new exception fails here instead of at a user's.

    An exception that carries an answer's code has its meaning from the code.
    """
    assert unknown(package, table) == []


@pytest.mark.parametrize(
    "table",
    [sftp_faults.EXCEPTIONS, s3_faults.EXCEPTIONS, fs_faults.FAULTS],
    ids=["sftp", "s3", "fs"],
)
def test_every_entry_of_a_table_is_a_class_that_exists(table):
    """No entry is left over from an older release."""
    for name in table:
        module, _, kind = name.rpartition(".")
        assert issubclass(getattr(importlib.import_module(module), kind), BaseException), name


def test_every_error_code_that_s3fs_knows_has_a_meaning():
    """AWS's list, and the statuses of answers without a code."""
    assert [code for code in ERROR_CODE_TO_EXCEPTION if code not in CODES] == []
    assert not answered("SomethingNew", 400).retry
    assert answered("SomethingNew", 599).retry
    assert answered("", 404).missing


def client_error(code, status):
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(response, "GetObject")


@pytest.mark.parametrize(
    ("code", "status", "kind", "said"),
    [
        ("NoSuchKey", 404, NotThere, "not there"),
        ("NoSuchBucket", 404, Away, "there is no bucket 'bucket'"),
        ("AccessDenied", 403, Away, "forbids"),
        ("SignatureDoesNotMatch", 403, Away, "refuses the keys"),
        ("SlowDown", 503, Retryable, "SlowDown"),
        ("RequestTimeTooSkewed", 403, Away, "time of the request"),
        ("PermanentRedirect", 301, Away, "elsewhere"),
        ("Odd{code}", 418, Away, "Odd{code}"),
    ],
)
def test_an_answer_of_an_s3_server_is_translated(code, status, kind, said):
    """Also after s3fs has turned it into a Python exception."""
    store = S3("it", "bucket", "x", "KEY", "SECRET", "http://server")
    error = client_error(code, status)
    for raised in (error, translate_boto_error(error)):
        made = store.translated("read svc/x", raised)
        assert type(made) is kind
        assert said in str(made)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (asyncssh.SFTPNoSuchFile("x"), NotThere, "not there"),
        (asyncssh.SFTPFailure("No space"), Away, "No space"),
        (asyncssh.PermissionDenied("x"), Away, "refuses the login"),
        (asyncssh.SFTPConnectionLost("x"), Retryable, "cut the connection"),
        (TimeoutError(), Retryable, "does not answer"),
        (ConnectionRefusedError(111, "Connection refused"), Retryable, "refused"),
        (RuntimeError("{odd}"), Away, "{odd}"),
    ],
)
def test_an_error_of_an_ssh_server_is_translated(error, kind, said):
    """It has the server's name, and whether another attempt may help."""
    store = Sftp("it", "x", Login("host", 22, "me"))
    made = store.translated("read svc/x", error)
    assert type(made) is kind
    assert said in str(made)
    assert "destination it" in str(made)


def test_a_permission_error_of_sshfs_is_the_login_that_asyncssh_refused():
    """sshfs raises a PermissionError for both; the cause says which it is."""
    error = PermissionError("x")
    error.__cause__ = asyncssh.PermissionDenied("x")
    made = Sftp("it", "x", Login("host", 22, "me")).translated("log in", error)
    assert "refuses the login" in str(made)


@pytest.mark.parametrize(
    ("number", "hint"), [(28, "make room"), (13, "needs to write"), (5, "kernel's log")]
)
def test_an_error_of_the_disk_says_what_to_do(number, hint):
    """In the words of the system."""
    made = Local("it", "/x").translated("write svc/x", OSError(number, "In {its} words"))
    assert "In {its} words" in str(made)
    assert hint in made.hint


def test_a_text_of_a_server_is_repeated_in_part_only():
    """An endless message is cut."""
    cause, fault = lookup(ValueError("x" * 10_000), fs_faults.FAULTS)
    assert fault
    made = Local("it", "/x").translated("read", cause)
    assert len(str(made)) < 500
