"""Store in a bucket at AWS, Backblaze B2, MinIO or any other S3 server, through s3fs."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vault.archive.format import parse_name
from vault.errors import NotThere
from vault.store.async_fs import AsyncStore
from vault.store.base import LATER, MOST_FILES, Check, Properties, Stored, never
from vault.store.faults import lookup, translate
from vault.store.s3_faults import EXCEPTIONS, answered
from vault.store.s3_upload import AT_ONCE, Multipart

if TYPE_CHECKING:
    from s3fs import S3FileSystem

    from vault.errors import VaultError

MOST_PAGES = 2_000
LIST_SECONDS = 120
"""Bounds of one listing: a server that exceeds them makes it up."""


class S3(AsyncStore):
    """Store that takes an archive as a multipart upload, which is invisible until completed.

    Sizes and deletions use public s3fs methods. Listings, ranges and uploads go through its
    `call_s3`: its `cat_file` took 657 MB of memory for a range of 100 bytes from a server that sent
    more, and its files upload one part at a time.
    """

    def __init__(
        self,
        name: str,
        bucket: str,
        path: str,
        access_key_id: str,
        secret_access_key: str,
        endpoint: str | None = None,
        region: str | None = None,
    ) -> None:
        """Use the folder `path` in the bucket; `endpoint` None is AWS."""
        properties = Properties(atomic_rename=False, hidden_until_commit=True)
        super().__init__(name, f"{bucket}/{path.strip('/')}", properties)
        self._bucket, self._prefix = bucket, path.strip("/") + "/" if path.strip("/") else ""
        self._key, self._secret = access_key_id, secret_access_key
        self._endpoint, self._region = endpoint, region
        self._uploads: dict[tuple[str, str], Multipart] = {}

    def services(self, check: Check = never) -> list[str]:
        """Return the names of the folders below the root."""
        _, folders = self._pages(self._prefix, check)
        return sorted(folders)

    def files(self, service: str, check: Check = never) -> list[Stored]:
        """Return all objects of a service."""
        objects, _ = self._pages(self._folder(service), check)
        return sorted(objects, key=lambda stored: stored.name)

    def read(
        self, service: str, name: str, offset: int, length: int, check: Check = never
    ) -> bytes:
        """Read a range; never return more than was requested."""
        if not length:
            return b""
        key = self._object(service, name)

        async def work(filesystem: S3FileSystem) -> bytes:
            span = f"bytes={offset}-{offset + length - 1}"
            try:
                answer = await self._ask(filesystem, "get_object", Key=key, Range=span)
            except Exception as error:
                if _code(error)[0] in ("InvalidRange", "416"):  # it begins beyond the end
                    return b""
                raise
            async with answer["Body"] as body:
                _check_range(answer, offset, length)
                found, left = [], length
                while left >= 0 and (chunk := await body.read(left + 1)):
                    found.append(chunk)
                    left -= len(chunk)
            if left < 0:
                raise OSError(f"it sent more than the {length:,} bytes that were requested")
            return b"".join(found)

        return self.run(f"read {service}/{name}", work, check, length)

    def upload(self, service: str, name: str, check: Check = never) -> Multipart:
        """Begin a multipart upload."""
        action, key = f"write {service}/{name}", self._object(service, name)
        begun = self.request(action, "create_multipart_upload", check, Key=key)
        with self.guarded(action):
            upload = Multipart(self, action, key, str(begun["UploadId"]))
        self._uploads[service, name] = upload
        return upload

    def place(self, service: str, name: str, check: Check = never) -> None:
        """Complete the upload, which makes it visible."""
        if upload := self._uploads.get((service, name)):
            with suppress(NotThere):  # completed by an attempt whose answer was lost
                upload.complete(f"publish {service}/{name}", check)
                del self._uploads[service, name]
                return
        self.size(service, name, check)
        self._uploads.pop((service, name), None)

    def discard(self, service: str, name: str) -> None:
        """Abort the upload."""
        if upload := self._uploads.get((service, name)):
            self._abort(upload.key, upload.id, never)
            del self._uploads[service, name]

    def clean(self, service: str, before: str = LATER, check: Check = never) -> None:
        """Abort unfinished uploads."""
        with suppress(NotThere):  # the answer of some servers if there is none
            prefix = self._folder(service)
            action = f"list unfinished uploads of {service}"
            answer = self.request(action, "list_multipart_uploads", check, Prefix=prefix)
            for found in answer.get("Uploads") or []:
                with self.guarded(action):
                    key, upload = found["Key"], found["UploadId"]
                    name = parse_name(key.rpartition("/")[2])
                if name and name.time < before:
                    self._abort(key, upload, check)

    def request(
        self, action: str, method: str, check: Check = never, size: int = 0, **parameters: Any
    ) -> Any:
        """Send one request about the bucket, with a time limit for `size` bytes."""

        async def work(filesystem: S3FileSystem) -> Any:
            return await self._ask(filesystem, method, **parameters)

        return self.run(action, work, check, size * AT_ONCE)

    async def _ask(self, filesystem: S3FileSystem, method: str, **parameters: Any) -> Any:
        # `call_s3`, which is public, blocks and could not be cancelled.
        return await filesystem._call_s3(method, Bucket=self._bucket, **parameters)  # noqa: SLF001

    def connect(self) -> S3FileSystem:
        """Return a new filesystem; nothing is sent yet."""
        from s3fs import S3FileSystem

        from vault.store import s3_session

        region = self._region or "us-east-1"
        filesystem = S3FileSystem(
            key=self._key,
            secret=self._secret,
            endpoint_url=self._endpoint,
            client_kwargs={"region_name": region, "verify": s3_session.certificates()},
            config_kwargs=s3_session.settings(self._endpoint),
            session=s3_session.session(),
            loop=self.loop,
            skip_instance_cache=True,
            use_listings_cache=False,
        )
        filesystem.retries = 1  # only Retrying retries
        return filesystem

    def _pages(self, prefix: str, check: Check) -> tuple[list[Stored], list[str]]:
        """Return objects and folders right below a prefix; a partial listing is an error."""
        action = f"list {prefix}"
        objects: list[Stored] = []
        folders: list[str] = []
        more: dict[str, str] = {}
        until = time.monotonic() + LIST_SECONDS
        tokens: set[str] = set()
        while True:
            try:
                page = self.request(
                    action, "list_objects_v2", check, 0, Prefix=prefix, Delimiter="/", **more
                )
            except NotThere as error:  # every bucket can be listed: this is another kind of server
                why = "the server there is not an S3 server"
                raise self.fault(action, why, "is the endpoint right?") from error
            with self.guarded(action):
                found, below = page.get("Contents") or [], page.get("CommonPrefixes") or []
                objects += [
                    Stored(one["Key"].removeprefix(prefix), int(one["Size"])) for one in found
                ]
                folders += [one["Prefix"].removeprefix(prefix).rstrip("/") for one in below]
            if not page.get("IsTruncated"):
                return objects, folders
            token = page.get("NextContinuationToken")
            endless = len(objects) + len(folders) > MOST_FILES or len(tokens) >= MOST_PAGES
            if not token or token in tokens or endless or time.monotonic() > until:
                why = "its listing does not end" if token else "its listing is cut off"
                raise self.fault(action, why, "is the endpoint right? ask who runs the server")
            tokens.add(token)
            more = {"ContinuationToken": token}

    def translated(self, action: str, error: BaseException) -> VaultError:
        """Return the error to raise for an answer, or for an exception of a library."""
        where = self._endpoint or "AWS"
        code, status = _code(error)
        if code or status:
            fault = answered(code, status)
            fault = replace(fault, why=fault.why.replace("{bucket}", repr(self._bucket)))
            return translate(self, action, Exception(code or str(status)), fault, where)
        cause, fault = lookup(error, EXCEPTIONS)
        return translate(self, action, cause, fault, where)

    def _abort(self, key: str, upload: str, check: Check) -> None:
        with suppress(NotThere):
            action = f"abort the upload of {key}"
            self.request(action, "abort_multipart_upload", check, Key=key, UploadId=upload)

    def _folder(self, service: str) -> str:
        return f"{self._prefix}{service}/" if service else self._prefix

    def _object(self, service: str, name: str) -> str:
        return self._folder(service) + name


def _check_range(answer: Any, offset: int, length: int) -> None:
    """Raise OSError unless the answer is the range that was requested."""
    span = re.match(r"bytes (\d+)-", answer.get("ContentRange") or "bytes 0-")
    if not span or int(span[1]) != offset:
        raise OSError(f"it sent another range ({answer.get('ContentRange') or 'the whole file'})")
    if int(answer.get("ContentLength") or 0) > length:
        raise OSError(f"it sends more than the {length:,} bytes that were requested")


def _code(error: BaseException | None) -> tuple[str, int]:
    """Return error code and status of an answer; ("", 0) if there was none."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return str(response.get("Error", {}).get("Code", "")), int(status or 0)
        error = error.__cause__
    return "", 0
