"""Ranges of the objects of a bucket, by a plain GET.

Through s3fs each goes through all of botocore and aiohttp, which takes more than twice the time of
a core (measured), and a restore a sixth longer. So it is asked for with botocore's signature over
botocore's own transport. What is not simply answered, s3fs asks again: it knows redirects, other
ways to address a bucket, and what a refusal means.
"""

from __future__ import annotations

from contextlib import closing
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

OK = (200, 206)


class S3Ranges:
    """Reads ranges from one bucket; several threads may."""

    def __init__(
        self,
        endpoint: str,
        region: str,
        bucket: str,
        access_key_id: str,
        secret_access_key: str,
        timeout: tuple[float, float],
        connections: int,
    ) -> None:
        """`timeout` is for connecting and for each read, in seconds."""
        self._address = f"{endpoint}/{bucket}/"
        credentials = Credentials(access_key_id, secret_access_key)
        self._signature = S3SigV4Auth(credentials, "s3", region)
        self._session = URLLib3Session(
            proxies=get_environ_proxies(endpoint), timeout=timeout, max_pool_connections=connections
        )
        self._refused = False

    def read(self, key: str, offset: int, length: int) -> bytes | None:
        """Give a range, cut off where the object ends; None when it is not simply answered.

        Then nothing is asked for any more: whoever refuses once, or cannot be reached, would keep
        each read waiting.
        """
        if self._refused:
            return None
        span = {"Range": f"bytes={offset}-{offset + length - 1}"}
        request = AWSRequest("GET", self._address + quote(key), headers=span, stream_output=True)
        self._signature.add_auth(request)
        try:
            with closing(self._session.send(request.prepare()).raw) as answer:
                size = int(answer.headers["Content-Length"])
                if answer.status in OK and size <= length:
                    data: bytes = answer.read()
                    if len(data) == size:
                        return data
        except (BotoCoreError, HTTPError, OSError, KeyError, ValueError):
            pass
        self._refused = True
        return None
