"""A running S3 server, and direct access to it that bypasses the product."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import Any, Final

import boto3
from botocore.config import Config

ACCESS_KEY: Final = "TESTACCESSKEY"
SECRET_KEY: Final = "TESTSECRETKEY-must-never-be-shown"
REGION: Final = "us-east-1"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class S3Server:
    """A running server. `admin` is a plain client that bypasses any proxy."""

    name: str
    port: int
    admin: Any = field(repr=False)

    @classmethod
    def at(cls, name: str, port: int) -> S3Server:
        return cls(name, port, client(port))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def new_bucket(self) -> str:
        """A new, empty bucket."""
        bucket = f"test-{os.getpid()}-{next(_numbers)}"
        self.admin.create_bucket(Bucket=bucket)
        return bucket

    def objects(self, bucket: str) -> dict[str, bytes]:
        """All visible objects of a bucket."""
        pages = self.admin.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key: self.admin.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def keys(self, bucket: str) -> set[str]:
        pages = self.admin.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {item["Key"] for page in pages for item in page.get("Contents", [])}

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self.admin.put_object(Bucket=bucket, Key=key, Body=data)

    def damage(self, bucket: str, key: str) -> None:
        """Change the first byte, but not the metadata."""
        found = self.admin.get_object(Bucket=bucket, Key=key)
        data = found["Body"].read()
        changed = bytes([data[0] ^ 0xFF]) + data[1:]
        self.admin.put_object(Bucket=bucket, Key=key, Body=changed, Metadata=found["Metadata"])

    def unfinished_uploads(self, bucket: str) -> list[tuple[str, str]]:
        """(key, upload id) of unfinished uploads."""
        try:
            answer = self.admin.list_multipart_uploads(Bucket=bucket)
        except self.admin.exceptions.NoSuchUpload:  # rclone's answer for a bucket that never had one
            return []
        return [(item["Key"], item["UploadId"]) for item in answer.get("Uploads", [])]

    def abort_all(self, bucket: str) -> None:
        for key, upload_id in self.unfinished_uploads(bucket):
            self.admin.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)

    def close(self) -> None:
        self.admin.close()


def client(port: int, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1},
            read_timeout=30,
        ),
    )
