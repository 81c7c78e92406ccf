"""HTTP sessions and configuration of the S3 client.

Answers are bounded, and the system's certificates are trusted. AWS_… variables and ~/.aws are
ignored.

s3fs takes the session and the class of HTTP sessions as public arguments.
"""

from __future__ import annotations

import os
import ssl
from typing import Any

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession

CONNECTIONS = 8
CONNECT_SECONDS = 15
READ_SECONDS = 60
ANSWER_BYTES = 4 << 20
"""Longest answer that is not an object: a page of 1000 keys has at most 3.5 MiB."""


class AnswerTooLongError(Exception):
    """Error of a server that sends more than any S3 server has to send."""

    def __init__(self) -> None:
        super().__init__(f"an answer of more than {ANSWER_BYTES >> 20} MiB")


class _Whole:
    """Body of an answer that was read."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> bytes:
        return self._data


class Session(AIOHTTPSession):  # type: ignore[misc]
    """HTTP session that trusts the system's certificates, and reads no endless answer."""

    async def send(self, request: Any) -> Any:
        """Send a request; read the body of an error, and of all but objects, up to a limit."""
        is_object, request.stream_output = request.stream_output, True
        answer = await super().send(request)
        if is_object and answer.status_code < 300:  # noqa: PLR2004
            return answer
        data = bytearray()
        async for chunk in answer.raw.content.iter_any():
            data += chunk
            if len(data) > ANSWER_BYTES:
                answer.raw.close()
                raise AnswerTooLongError
        whole = _Whole(bytes(data))
        return AioAWSResponse(answer.url, answer.status_code, answer.headers, whole)

    def _get_ssl_context(self) -> ssl.SSLContext:
        """Return a context with the system's certificates; botocore's would only have certifi's."""
        return ssl.create_default_context()


def certificates() -> str | bool:
    """Return the certificate file to add: the system's, or certifi's if it has none."""
    return ssl.get_default_verify_paths().cafile or True


def session() -> AioSession:
    """Return a session that ignores AWS_… variables and files below ~/.aws."""
    known = AioSession.SESSION_VARIABLES
    ours = {
        name: (None, None, default, convert) for name, (_, _, default, convert) in known.items()
    }
    for name in ("config_file", "credentials_file"):
        ours[name] = (None, None, os.devnull, None)
    return AioSession(session_vars=ours)


def settings(endpoint: str | None) -> dict[str, Any]:
    """Return botocore's configuration for one server; an `endpoint` of None is AWS."""
    # Backblaze B2 and older MinIO refuse the newer checksum headers; each part has its MD5.
    checksums = "when_required" if endpoint else "when_supported"
    return {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "max_pool_connections": CONNECTIONS,
        "retries": {"max_attempts": 1},  # only Retrying retries
        "s3": {"addressing_style": "path"} if endpoint else {},
        "request_checksum_calculation": checksums,
        "response_checksum_validation": checksums,
        "ignore_configured_endpoint_urls": True,
        "http_session_cls": Session,
    }


__all__ = ["ANSWER_BYTES", "AnswerTooLongError", "certificates", "session", "settings"]
