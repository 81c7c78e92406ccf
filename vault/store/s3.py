"""A bucket at AWS, Backblaze B2, MinIO or whoever else speaks S3, over s3fs."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vault.archive.format import ArchiveName
from vault.errors import NotThere, VaultError
from vault.store.base import LATER, Stored
from vault.store.remote import Remote, Worth
from vault.store.throttle import Throttle

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator

    from vault.store.s3plain import PlainS3
    from vault.store.transfer import Source

PART_BYTES = 16 << 20
PARTS_SMALL = 1000
PART_MOST = 1 << 30
"""After so many parts they double, up to here: 10,000 parts, S3's most, hold as much as S3 does."""
CONNECTIONS = 4
IN_FLIGHT_BYTES = (CONNECTIONS + 1) * PART_BYTES
"""Parts are whole in memory: the larger they are, the fewer go up at once."""
TRANSIENT = ("RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "Throttling")


class _BeyondItsEnd(VaultError):  # noqa: N818
    """The range that was asked for begins behind the end of the object."""


@dataclass
class _Multipart:
    """An upload that becomes visible when it is completed."""

    key: str
    id: str
    tags: dict[int, str] = field(default_factory=dict)


class S3(Remote):
    """Takes an archive as a multipart upload, which S3 shows to nobody until it is completed."""

    def __init__(
        self,
        name: str,
        bucket: str,
        path: str,
        access_key_id: str,
        secret_access_key: str,
        endpoint: str | None = None,
        region: str | None = None,
        limit: int | None = None,
    ) -> None:
        """`endpoint` None is AWS; `path` is the folder inside the bucket."""
        super().__init__(name, f"{bucket}/{path.strip('/')}", limit)
        self._bucket, self._prefix = bucket, path.strip("/") + "/" if path.strip("/") else ""
        self._key, self._secret = access_key_id, secret_access_key
        self._endpoint, self._region = endpoint, region
        self._uploads: dict[tuple[str, str], _Multipart] = {}

    def services(self) -> list[str]:
        """Give the folders that stand here."""
        _, folders = self._list(self._prefix)
        return folders

    def files(self, service: str) -> list[Stored]:
        """Give all objects of a service."""
        objects, _ = self._list(f"{self._prefix}{service}/")
        return objects

    def read(self, service: str, name: str, offset: int, length: int) -> bytes:
        """Read a range."""
        if not length:
            return b""
        key = self._object(service, name)
        with suppress(_BeyondItsEnd):
            return self._get(f"read {service}/{name}", key, offset, length)
        return b""

    def size(self, service: str, name: str) -> int:
        """Give the size of an object."""
        answer = self._do(
            f"look at {service}/{name}", "head_object", Key=self._object(service, name)
        )
        return int(answer["ContentLength"])

    def receive(
        self, service: str, name: str, source: Source, ranges: Iterable[tuple[int, int]]
    ) -> Iterator[int]:
        """Upload parts, some at once; each is checked by the server against its MD5."""
        action = f"write {service}/{name}"
        key = self._object(service, name)
        begun = self._do(action, "create_multipart_upload", Key=key)
        upload = self._uploads[service, name] = _Multipart(key, begun["UploadId"])
        throttle = Throttle(self._limit)

        def send(number: int, offset: int, length: int) -> int:
            upload.tags[number] = self._send(action, upload, number, source.read(offset, length))
            return offset + length

        waiting: list[Future[int]] = []
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            try:
                for number, (offset, length) in enumerate(_parts(ranges), 1):
                    while waiting and (len(waiting) + 1) * length > IN_FLIGHT_BYTES:
                        yield waiting.pop(0).result()
                    throttle.wait(length, self.check)
                    waiting.append(threads.submit(send, number, offset, length))
                    while waiting and (len(waiting) > CONNECTIONS or waiting[0].done()):
                        yield waiting.pop(0).result()
                while waiting:
                    yield waiting.pop(0).result()
            finally:
                for future in waiting:
                    future.cancel()

    def publish(self, service: str, name: str, prove: Callable[[str], None]) -> None:
        """Complete the upload, which makes it visible, then prove it; what fails is deleted.

        S3 reads nothing back before that; each part was proven by its MD5 as it came in.
        """
        upload = self._uploads.pop((service, name))
        parts = [{"PartNumber": n, "ETag": tag} for n, tag in sorted(upload.tags.items())]
        try:
            self._do(
                f"publish {service}/{name}",
                "complete_multipart_upload",
                Key=upload.key,
                UploadId=upload.id,
                MultipartUpload={"Parts": parts},
            )
        except NotThere:
            self.size(service, name)  # completed by a try whose answer was lost
        try:
            prove(name)
        except BaseException:  # also when the run is broken off: it is unproven
            self.delete(service, name)
            raise

    def discard(self, service: str, name: str) -> None:
        """Abort the upload."""
        upload = self._uploads.pop((service, name), None)
        if upload:
            self._abort(upload)

    def clean(self, service: str, before: str = LATER) -> None:
        """Abort unfinished uploads."""
        with suppress(NotThere):  # the answer of some servers when there is none
            answer = self._do(
                f"list unfinished uploads of {service}",
                "list_multipart_uploads",
                Prefix=f"{self._prefix}{service}/",
            )
            for found in answer.get("Uploads") or []:
                name = ArchiveName.parse(found["Key"].rpartition("/")[2])
                if name and name.time < before:
                    self._abort(_Multipart(found["Key"], found["UploadId"]))

    def delete(self, service: str, name: str) -> None:
        """Delete one object; a bucket that keeps versions only hides it."""
        self._do(f"delete {service}/{name}", "delete_object", Key=self._object(service, name))

    def probe(self, token: str) -> None:
        """Write a small object, read it back and delete it."""
        key = f"{self._prefix}.packrat-{token}"
        action = "write, read back and delete an object"
        self._do(action, "put_object", Key=key, Body=token.encode())
        same = self._get(action, key, 0, 100) == token.encode()
        self._do(action, "delete_object", Key=key)
        if not same:
            raise self._away(action, "other bytes came back", "ask who runs it")

    def free(self) -> int | None:
        """S3 does not say."""
        return None

    def _send(self, action: str, upload: _Multipart, number: int, data: bytes) -> str:
        import base64
        import hashlib

        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        answer = self._do(
            action,
            "upload_part",
            Key=upload.key,
            UploadId=upload.id,
            PartNumber=number,
            Body=data,
            ContentMD5=md5,
        )
        return str(answer["ETag"])

    def _abort(self, upload: _Multipart) -> None:
        with suppress(NotThere):
            self._do(
                f"abort the upload of {upload.key}",
                "abort_multipart_upload",
                Key=upload.key,
                UploadId=upload.id,
            )

    def _list(self, prefix: str) -> tuple[list[Stored], list[str]]:
        """Give objects and folders right below a prefix; a partial listing is an error."""
        plain = self.plainly(0, lambda plain: plain.listing(prefix))
        objects, folders = plain or self._list_by_library(prefix)
        return sorted(objects, key=lambda stored: stored.name), sorted(folders)

    def _list_by_library(self, prefix: str) -> tuple[list[Stored], list[str]]:
        objects: list[Stored] = []
        folders: list[str] = []
        more: dict[str, str] = {}
        while True:
            action = f"list {prefix}"
            try:
                page = self._do(action, "list_objects_v2", Prefix=prefix, Delimiter="/", **more)
            except NotThere as error:  # every bucket can be listed: this is some other server
                why = "what answers there is no S3 server"
                raise self._away(action, why, "is the endpoint right?") from error
            objects += [
                Stored(item["Key"].removeprefix(prefix), int(item["Size"]))
                for item in page.get("Contents") or []
            ]
            folders += [
                item["Prefix"].removeprefix(prefix).rstrip("/")
                for item in page.get("CommonPrefixes") or []
            ]
            if not page.get("IsTruncated"):
                return objects, folders
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _do(self, action: str, method: str, **params: Any) -> Any:
        async def work(fs: Any) -> Any:
            return await fs._call_s3(method, Bucket=self._bucket, **params)

        return self.call(action, work, CONNECTIONS * len(params.get("Body", b"")))

    def _get(self, action: str, key: str, offset: int, length: int) -> bytes:
        found: bytes | None = self.plainly(length, lambda plain: plain.read(key, offset, length))
        if found is not None:
            return found

        async def work(fs: Any) -> bytes:
            span = f"bytes={offset}-{offset + length - 1}"
            answer = await fs._call_s3("get_object", Bucket=self._bucket, Key=key, Range=span)
            async with answer["Body"] as body:
                data: bytes = await body.read()
                return data

        return self.call(action, work, length)

    def _open_plain(self) -> PlainS3 | None:
        if any(name.lower().endswith("_proxy") for name in os.environ):
            return None  # s3fs knows them
        from vault.store.s3plain import PlainS3

        return PlainS3(self._endpoint, self._region, self._bucket, self._key, self._secret)

    def _object(self, service: str, name: str) -> str:
        return f"{self._prefix}{service}/{name}"

    def _connect(self, loop: asyncio.AbstractEventLoop) -> Any:
        from s3fs import S3FileSystem

        config: dict[str, Any] = {
            "connect_timeout": 15,
            "read_timeout": 60,
            "max_pool_connections": 2 * CONNECTIONS,
            "retries": {"max_attempts": 1},
            "s3": {"addressing_style": "path"} if self._endpoint else {},
        }
        if self._endpoint:
            # Newer checksum headers are refused by Backblaze B2 and older MinIO; ours need none.
            config["request_checksum_calculation"] = "when_required"
            config["response_checksum_validation"] = "when_required"
        fs = S3FileSystem(
            key=self._key,
            secret=self._secret,
            endpoint_url=self._endpoint,
            client_kwargs={"region_name": self._region} if self._region else {},
            config_kwargs=config,
            loop=loop,
            skip_instance_cache=True,
            use_listings_cache=False,
        )
        fs.retries = 1  # `call` is the one place that tries again
        return fs

    def _translate(self, action: str, error: Exception) -> VaultError | Worth:
        from botocore import exceptions as boto

        where = self._endpoint or "AWS"
        cause = error
        while cause.__cause__ is not None and not isinstance(cause, boto.ClientError):
            cause = cause.__cause__  # type: ignore[assignment]
        if isinstance(cause, boto.ClientError):
            return self._answered(action, cause)
        if isinstance(error, FileNotFoundError):
            return NotThere(f"destination {self.name} ({self.root}): cannot {action}: not there")
        if isinstance(error, TimeoutError | boto.ReadTimeoutError | boto.ConnectTimeoutError):
            return Worth(self._away(action, f"{where} does not answer", "is the line up?"))
        if isinstance(error, boto.HTTPClientError | boto.ConnectionError | OSError):
            return Worth(self._away(action, f"{where}: {error}", "is the endpoint right, and up?"))
        if isinstance(error, boto.BotoCoreError | ValueError):
            return self._away(action, str(error), "is the endpoint right?")
        return Worth(self._away(action, f"{type(error).__name__}: {error}", "is the line up?"))

    def _answered(self, action: str, error: Any) -> VaultError | Worth:
        """Translate what the server answered."""
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        match code:
            case "NoSuchBucket":
                return self._away(
                    action, f"there is no bucket {self._bucket!r}", "make it, or mend `bucket`"
                )
            case "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AuthorizationHeaderMalformed":
                return self._away(
                    action,
                    f"the server refuses the keys ({code})",
                    "mend access_key_id and secret_access_key, or the region",
                )
            case "AccessDenied" | "403" | "Forbidden":
                return self._away(
                    action,
                    f"the server forbids it ({code})",
                    "the key needs to list, read, write and delete in this bucket",
                )
            case "NoSuchKey" | "NoSuchUpload" | "404" | "NotFound":
                return NotThere(
                    f"destination {self.name} ({self.root}): cannot {action}: not there"
                )
            case "InvalidRange" | "416":
                return _BeyondItsEnd(f"destination {self.name}: cannot {action}: it ends before")
        fault = self._away(action, f"the server answers {code or status}", "ask who runs it")
        worth = status >= 500 or status == 429 or code.startswith(TRANSIENT)  # noqa: PLR2004
        return Worth(fault) if worth else fault


def _parts(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Put ranges that follow each other together to parts; only the last may be small."""
    number, start, end = 0, 0, 0
    for offset, length in ranges:
        end = offset + length
        if end - start >= min(PART_BYTES << (number // PARTS_SMALL), PART_MOST):
            yield start, end - start
            number, start = number + 1, end
    if end > start or not number:
        yield start, end - start
