"""What is only read of a bucket, by plain GETs: its list, and ranges of its objects.

Through s3fs each goes through all of botocore and aiohttp, which takes more than twice the time of
a core, and half a second until the first (measured). So it is asked for with botocore's signature
over botocore's own transport. What is not simply answered, s3fs asks again: it knows redirects,
other ways to address a bucket, and what a refusal means.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus, urlencode
from xml.etree import ElementTree as ET

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from vault.destination import Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault.remote import Result

OK = (200, 206)
"""Some servers give a range with either."""
TIMEOUT = 5, 20
"""Seconds to connect, and for each read; s3fs, which asks again, has more patience."""
PAGE_MOST = 16 << 20
"""Bytes; a page names a thousand objects."""


class _Refused(Exception):  # noqa: N818
    """The answer is not simply what was asked for."""


class PlainS3:
    """Reads from one bucket; several threads may.

    Whatever is not simply answered is None, and nothing is asked for any more: whoever refuses
    once, or cannot be reached, would keep each read waiting.
    """

    def __init__(
        self,
        endpoint: str | None,
        region: str | None,
        bucket: str,
        access_key_id: str,
        secret_access_key: str,
        connections: int,
    ) -> None:
        """`endpoint` None is AWS."""
        region = region or "us-east-1"
        endpoint = (endpoint or f"https://s3.{region}.amazonaws.com").rstrip("/")
        self._address = f"{endpoint}/{bucket}"
        credentials = Credentials(access_key_id, secret_access_key)
        self._signature = S3SigV4Auth(credentials, "s3", region)
        self._session = URLLib3Session(
            proxies=get_environ_proxies(endpoint), timeout=TIMEOUT, max_pool_connections=connections
        )
        self._refused = False

    def read(self, key: str, offset: int, length: int) -> bytes | None:
        """Give a range, cut off where the object ends."""
        span = {"Range": f"bytes={offset}-{offset + length - 1}"}
        begins = f"bytes {offset}-"
        return self._attempt(lambda: self._get(f"/{quote(key)}", length, begins, span))

    def listing(self, prefix: str) -> tuple[list[Stored], list[str]] | None:
        """Give all objects and folders right below a prefix."""
        return self._attempt(lambda: self._pages(prefix))

    def _pages(self, prefix: str) -> tuple[list[Stored], list[str]]:
        objects: list[Stored] = []
        folders: list[str] = []
        query = {"list-type": "2", "delimiter": "/", "encoding-type": "url", "prefix": prefix}
        while True:
            page = self._get("?" + urlencode(query, quote_via=quote), PAGE_MOST, "", {})
            new_objects, new_folders, more = _parse(page, len(prefix))
            objects += new_objects
            folders += new_folders
            if not more:
                return objects, folders
            query["continuation-token"] = more

    def _attempt(self, ask: Callable[[], Result]) -> Result | None:
        if self._refused:
            return None
        try:
            return ask()
        except (_Refused, BotoCoreError, HTTPError, OSError, ValueError, ET.ParseError):
            self._refused = True
            return None

    def _get(self, what: str, most: int, begins: str, headers: dict[str, str]) -> bytes:
        """Give an answer of `most` bytes, whose Content-Range begins so; raises what goes wrong."""
        request = AWSRequest("GET", self._address + what, headers=headers, stream_output=True)
        self._signature.add_auth(request)
        with closing(self._session.send(request.prepare()).raw) as answer:
            found = answer.headers
            size = int(found.get("Content-Length", most))  # some send lists in chunks, without one
            simple = found.get("Content-Range", "").startswith(begins)
            if answer.status not in OK or size > most or not simple:
                raise _Refused
            data: bytes = answer.read(most + 1)
        if len(data) > size or ("Content-Length" in found and len(data) < size):
            raise _Refused
        return data


def _parse(page: bytes, above: int) -> tuple[list[Stored], list[str], str]:
    """Read a ListBucketResult: objects, folders, and after what there is more, or "".

    `above` is the length of the prefix, which is in every name.
    """
    root = ET.fromstring(page)  # noqa: S314 (as botocore does; expat bounds entities)
    if not root.tag.endswith("ListBucketResult"):
        raise _Refused
    decode = unquote_plus if root.findtext("{*}EncodingType") == "url" else str

    def text(element: ET.Element, name: str) -> str:
        found = element.findtext("{*}" + name)
        if found is None:
            raise _Refused
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
