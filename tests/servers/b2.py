"""A running B2 server, and direct access to it that bypasses the product."""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.servers.process import server

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Key:
    key_id: str
    key: str


@dataclass(frozen=True)
class Version:
    name: str
    action: str
    info: Mapping[str, str]
    sha1: str


@dataclass(frozen=True)
class B2Server:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def new_bucket(self) -> tuple[str, Key]:
        """A new bucket, and a key limited to it."""
        made = self._ask("new_bucket")
        return made["bucket"], Key(made["key_id"], made["key"])

    def master(self) -> Key:
        return Key(**self._ask("master"))

    def new_key(self, bucket: str = "", *, capabilities: tuple[str, ...] = (), prefix: str = "") -> Key:
        """A key with these limits; without `bucket` it is valid for all."""
        return Key(**self._ask("key", bucket=bucket, capabilities=list(capabilities), prefix=prefix))

    def expire_tokens(self) -> None:
        """Invalidate all issued tokens and upload URLs, as happens after a day."""
        self._ask("expire_tokens")

    def plant(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        self._ask(
            "plant", bucket=bucket, objects={name: base64.b64encode(data).decode() for name, data in objects.items()}
        )

    def plant_many(self, bucket: str, prefix: str, count: int) -> None:
        """`count` objects of one byte, named `prefix` plus a number."""
        self._ask("plant", bucket=bucket, prefix=prefix, count=count)

    def versions(self, bucket: str, name: str = "") -> list[Version]:
        """All versions, newest first within a name; only those of `name` if given."""
        found = [Version(*item) for item in self._ask("versions", bucket=bucket)["versions"]]
        return [version for version in found if name in ("", version.name)]

    def objects(self, bucket: str) -> dict[str, bytes]:
        """All visible objects of a bucket."""
        visible: dict[str, str] = {}
        for version in self.versions(bucket):
            if version.action != "start":
                visible.setdefault(version.name, version.action)
        return {name: self._content(bucket, name) for name, action in visible.items() if action == "upload"}

    def unfinished(self, bucket: str) -> list[str]:
        return [version.name for version in self.versions(bucket) if version.action == "start"]

    def forget_uploads(self, bucket: str) -> None:
        self._ask("forget_uploads", bucket=bucket)

    def damage(self, bucket: str, name: str) -> None:
        """Change the first byte of the stored object, but none of its metadata."""
        self._ask("damage", bucket=bucket, name=name)

    def _content(self, bucket: str, name: str) -> bytes:
        query = urlencode({"bucket": bucket, "name": name})
        with urllib.request.urlopen(f"{self.url}/test/object?{query}", timeout=30) as answer:
            data: bytes = answer.read()
        return data

    def _ask(self, call: str, **args: object) -> Any:
        request = urllib.request.Request(f"{self.url}/test/{call}", data=json.dumps(args).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@contextlib.contextmanager
def b2_server(folder: Path) -> Iterator[B2Server]:
    """A server that keeps all data in memory and its log in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, str(Path(__file__).with_name("b2_server.py"))]
    with server(
        argv,
        says=r"http://127\.0\.0\.1:([1-9]\d*)",
        log=folder / "b2.log",
        environment={"PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"},
    ) as port:
        yield B2Server(port)
