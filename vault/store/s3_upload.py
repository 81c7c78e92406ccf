"""Multipart upload of one object."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from vault.store.base import Check, Part, Upload

if TYPE_CHECKING:
    from vault.store.s3 import S3

PART_BYTES = 16 << 20
PARTS_SMALL = 1000
PART_MOST = 1 << 30
"""After PARTS_SMALL parts their size doubles: S3's limit of 10,000 parts then allows 5 TiB."""
AT_ONCE = 4
IN_FLIGHT_BYTES = (AT_ONCE + 1) * PART_BYTES
"""Parts are whole in memory: the larger they are, the fewer are sent at once."""


class Multipart(Upload):
    """Upload that is invisible until it is completed."""

    at_once = AT_ONCE

    def __init__(self, store: S3, action: str, key: str, id: str) -> None:  # noqa: A002
        self.key, self.id = key, id
        self._store, self._action = store, action
        self._tags: dict[int, str] = {}

    def part_size(self, number: int) -> int:
        """Return the size of a part; only the last may be smaller."""
        return min(PART_BYTES << ((number - 1) // PARTS_SMALL), PART_MOST)

    def room(self, length: int) -> int:
        """Return how many parts may be in memory."""
        return min(AT_ONCE, IN_FLIGHT_BYTES // max(length, 1))

    def put(self, number: int, part: Part, check: Check) -> None:
        """Upload one part; the server checks it against its MD5."""
        data = part.read()
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        answer = self._store.request(
            self._action,
            "upload_part",
            check,
            len(data),
            Key=self.key,
            UploadId=self.id,
            PartNumber=number,
            Body=data,
            ContentMD5=md5,
        )
        self._tags[number] = str(answer["ETag"])

    def finish(self, check: Check) -> None:
        """Do nothing: S3 has stored each part when it answers."""
        del check

    def complete(self, action: str, check: Check) -> None:
        """Make the object visible; raises NotThere if the upload has ended already."""
        parts = [{"PartNumber": n, "ETag": tag} for n, tag in sorted(self._tags.items())]
        self._store.request(
            action,
            "complete_multipart_upload",
            check,
            Key=self.key,
            UploadId=self.id,
            MultipartUpload={"Parts": parts},
        )
