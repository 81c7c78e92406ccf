"""What is only read of a bucket, by plain GETs: its list, and ranges of its objects.

Through s3fs each goes through all of botocore and aiohttp, which takes more than twice the time of
a core, and half a second until the first; botocore alone takes a fifth of a second to load
(measured). So it is signed here, and goes by what Python has. What is not simply answered, s3fs
asks again: it knows redirects, proxies, other ways to address a bucket, and what a refusal means.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import time
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from ssl import create_default_context
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus, urlencode, urlsplit
from xml.etree import ElementTree as ET

from vault.store.base import Stored
from vault.store.plain import Absent, Connections, NotSimple

if TYPE_CHECKING:
    from collections.abc import Callable

OK, NOT_FOUND = (200, 206), 404
"""Some servers give a range with either of the first."""
CONNECT_SECONDS = 5
READ_SECONDS = 20
"""s3fs, which asks again, has more patience."""
PAGE_MOST = 16 << 20
"""Bytes; a page names a thousand objects."""
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
NOTHING = hashlib.sha256().hexdigest()
"""The hash of the body of a GET."""


class PlainS3:
    """Reads from one bucket; several threads may.

    Raises Absent for what is not there, and whatever else goes wrong.
    """

    def __init__(
        self,
        endpoint: str | None,
        region: str | None,
        bucket: str,
        access_key_id: str,
        secret_access_key: str,
    ) -> None:
        """`endpoint` None is AWS."""
        self._region = region or "us-east-1"
        endpoint = (endpoint or f"https://s3.{self._region}.amazonaws.com").rstrip("/")
        parts = urlsplit(endpoint)
        where = parts.hostname or "", parts.port
        new: Callable[[], HTTPConnection]
        new = partial(HTTPConnection, *where, timeout=CONNECT_SECONDS)
        if parts.scheme == "https":
            trusted = create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
            new = partial(HTTPSConnection, *where, timeout=CONNECT_SECONDS, context=trusted)
        self._connections = Connections(new)
        self._host, self._bucket = parts.netloc, f"{parts.path}/{bucket}"
        self._key, self._secret = access_key_id, secret_access_key

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Give a range, cut off where the object ends."""
        span = {"Range": f"bytes={offset}-{offset + length - 1}"}
        data, said = self._get(f"/{quote(key)}", "", length, span)
        match = _RANGE.fullmatch(said)
        if match is None:
            raise NotSimple
        begin, end, size = map(int, match.groups())
        if begin != offset or end + 1 != min(offset + length, size) or len(data) != end + 1 - begin:
            raise NotSimple
        return data

    def listing(self, prefix: str) -> tuple[list[Stored], list[str]]:
        """Give all objects and folders right below a prefix."""
        objects: list[Stored] = []
        folders: list[str] = []
        query = {"list-type": "2", "delimiter": "/", "encoding-type": "url", "prefix": prefix}
        while True:
            asked = urlencode(sorted(query.items()), quote_via=quote, safe="")
            page, _ = self._get("", asked, PAGE_MOST, {})
            new_objects, new_folders, more = _parse(page, len(prefix))
            objects += new_objects
            folders += new_folders
            if not more:
                return objects, folders
            query["continuation-token"] = more

    def close(self) -> None:
        """Hang up; an answer that somebody waits for may still come."""
        for connection in self._connections.at_rest():
            connection.close()

    def _get(self, path: str, query: str, most: int, headers: dict[str, str]) -> tuple[bytes, str]:
        """Give an answer of `most` bytes, and its Content-Range; raises what goes wrong."""
        path = self._bucket + path
        headers |= {"Host": self._host}
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = signed(path, query, headers, stamp, self._region, self._key, self._secret)
        target = f"{path}?{query}" if query else path
        return self._connections.ask(lambda connection: _ask(connection, target, headers, most))


def _ask(
    connection: HTTPConnection, target: str, headers: dict[str, str], most: int
) -> tuple[bytes, str]:
    new = connection.sock is None  # or the server had said that it would hang up
    if new:
        connection.connect()
        connection.sock.settimeout(READ_SECONDS)
    connection.request("GET", target, headers=headers)
    answer = connection.getresponse()
    data = answer.read(most + 1)
    said = answer.headers.get("Content-Length")  # some send lists in chunks, without one
    if len(data) > most or (said and len(data) != int(said)):
        raise NotSimple
    if answer.status == NOT_FOUND:
        raise Absent
    if answer.status not in OK:
        raise NotSimple
    return data, answer.headers.get("Content-Range", "")


def signed(
    path: str,
    query: str,
    headers: dict[str, str],
    stamp: str,
    region: str,
    access_key_id: str,
    secret_access_key: str,
) -> dict[str, str]:
    """Give the headers of a GET with AWS's signature, version 4, over all that is asked for.

    `path` and `query` are encoded as they are sent, `query` in the order of its names; `stamp` is
    the time, as `20261127T041614Z`.
    """
    headers = headers | {"X-Amz-Content-SHA256": NOTHING, "X-Amz-Date": stamp}
    lower = sorted((name.lower(), value) for name, value in headers.items())
    names = ";".join(name for name, _ in lower)
    fields = "".join(f"{name}:{value}\n" for name, value in lower)
    request = f"GET\n{path}\n{query}\n{fields}\n{names}\n{NOTHING}"
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), "sha256")
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access_key_id}/{scope},"
        f" SignedHeaders={names}, Signature={signature.hex()}"
    )
    return headers


def _parse(page: bytes, above: int) -> tuple[list[Stored], list[str], str]:
    """Read a ListBucketResult: objects, folders, and after what there is more, or "".

    `above` is the length of the prefix, which is in every name.
    """
    root = ET.fromstring(page)  # noqa: S314 (as botocore does; expat bounds entities)
    if not root.tag.endswith("ListBucketResult"):
        raise NotSimple
    decode = unquote_plus if root.findtext("{*}EncodingType") == "url" else str

    def text(element: ET.Element, name: str) -> str:
        found = element.findtext("{*}" + name)
        if found is None:
            raise NotSimple
        return found

    objects = [
        Stored(decode(text(one, "Key"))[above:], int(text(one, "Size")))
        for one in root.findall("{*}Contents")
    ]
    folders = [
        decode(text(one, "Prefix"))[above:].rstrip("/") for one in root.findall("{*}CommonPrefixes")
    ]
    truncated = root.findtext("{*}IsTruncated") == "true"
    return objects, folders, text(root, "NextContinuationToken") if truncated else ""
