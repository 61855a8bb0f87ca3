"""Local disk. Faults are made with real file systems: a tiny tmpfs that is full or read-only."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from providers.contract.capabilities import Capabilities, Proof
from providers.errors import NotFound, PermissionDenied, QuotaExceeded
from providers.testing.harness import ALL, WRITING, Connections, FixtureValue, Harness, Limits, Operation, Root, Trouble

_UNFINISHED = ".homeserver-backup-"


@dataclass
class LocalRoot(Connections):
    folder: Path = field(default_factory=Path)
    """A symlink to the folder of the objects, so that a test can put another disk under them."""

    def _files(self) -> Iterator[Path]:
        for at, _, names in os.walk(self.folder):
            yield from (Path(at, name) for name in names)

    def stored(self) -> dict[str, bytes]:
        found = (path for path in self._files() if not path.name.startswith(_UNFINISHED))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    def plant(self, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            path = self.folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def leftovers(self) -> list[str]:
        return [path.name for path in self._files() if path.name.startswith(_UNFINISHED)]

    def expire(self) -> None:
        for path in list(self._files()):
            if path.name.startswith(_UNFINISHED):
                path.unlink()

    def other_container(self) -> dict[str, str]:
        other = self.folder.with_name("other")
        other.mkdir()
        return {"container": str(other)}

    def damage(self, key: str) -> None:
        _flip(self.folder / key)

    def damage_unfinished(self) -> None:
        for path in self._files():
            if path.name.startswith(_UNFINISHED) and path.stat().st_size > LOCAL.limits.part_bytes:
                _flip(path)


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 0xFF]))


@contextmanager
def _open(fixture: FixtureValue, tmp: Path) -> Iterator[Root]:
    (tmp / "disk").mkdir()
    (tmp / "storage").symlink_to(tmp / "disk")
    (tmp / "work").mkdir()
    folder = tmp / "storage"
    values = {"container": str(folder), "upload_chunk_size": LOCAL.limits.part_bytes}
    root = LocalRoot("local", values, tmp / "work", folder=folder)
    try:
        yield cast(Root, root)
    finally:
        root.close()


class _Disk:
    """A tmpfs in its own mount namespace, or mounted as root if namespaces are not allowed.

    It disappears with the process that holds it.
    """

    def __init__(self, mount_point: Path, size: str) -> None:
        self._mount_point = mount_point
        mount_point.mkdir()
        for shell in (["unshare", "--user", "--map-root-user", "--mount", "sh"], ["sh"]):
            self._shell = subprocess.Popen(
                shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            answer = self._run(f"mount -t tmpfs -o size={size} none '{mount_point}'")
            if answer == "done":
                own_namespace = len(shell) > 1
                self.path = Path(f"/proc/{self._shell.pid}/root{mount_point}") if own_namespace else mount_point
                return
            self._end()
        pytest.skip(f"no file system can be mounted here, neither in a user namespace nor as root: {answer}")

    def _run(self, command: str) -> str:
        assert self._shell.stdin
        assert self._shell.stdout
        with contextlib.suppress(BrokenPipeError):  # the shell could not start; its output is read below
            self._shell.stdin.write(f"{command} && echo done || echo refused\n")
            self._shell.stdin.flush()
        return self._shell.stdout.readline().strip()

    def make_read_only(self) -> None:
        assert self._run(f"mount -o remount,ro '{self._mount_point}'") == "done"

    def close(self) -> None:
        if self.path == self._mount_point:
            assert self._run(f"umount '{self._mount_point}'") == "done"
        self._end()

    def _end(self) -> None:
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.close()
        self._shell.wait(10)
        self._shell.stdout.close()


@contextmanager
def _on_disk(root: Root, size: str, prepare: Callable[[_Disk], None]) -> Iterator[None]:
    """Inside, the container is a small disk with the same content."""
    local = cast(LocalRoot, root)
    before = local.stored()
    home = local.folder.readlink()
    disk = _Disk(root.tmp / "small-disk", size)
    try:
        _point(local.folder, disk.path)
        local.plant(before)
        prepare(disk)
        yield
    finally:
        _point(local.folder, home)
        disk.close()


def _point(link: Path, to: Path) -> None:
    link.unlink()
    link.symlink_to(to)


def _full(root: Root) -> Any:
    """A few blocks are free: a small file can be begun but not finished."""

    def fill(disk: _Disk) -> None:
        (disk.path / "filler").write_bytes(b"x" * 240 * 1024)

    return _on_disk(root, "256k", fill)


def _read_only(root: Root) -> Any:
    return _on_disk(root, "4m", _Disk.make_read_only)


@contextmanager
def _unplugged(root: Root) -> Iterator[None]:
    local = cast(LocalRoot, root)
    home = local.folder.readlink()
    local.folder.unlink()
    try:
        yield
    finally:
        local.folder.symlink_to(home)


LOCAL = Harness(
    name="local",
    service="local",
    open=_open,
    capabilities=Capabilities(
        parallel_parts=True,
        conditional_commit=True,
        part_digests=("sha256",),
        empty_directories=True,
        modes=True,
        folder_modes=True,
        create_container=True,
    ),
    limits=Limits(
        part_bytes=2 << 20,
        refused_names=frozenset(
            {"absolute", "parent", "inner parent", "dot", "empty segment", "nul", "long segment", "too long", "empty"}
        ),
        proof_of_one=Proof.READ_BACK,
        proof_of_parts=Proof.READ_BACK,
        container_specific=frozenset({"max_key_bytes"}),
    ),
    damage_unfinished=lambda root: cast(LocalRoot, root).damage_unfinished(),
    missing_container={"container": "/nowhere/at/all"},
    troubles=(
        Trouble("disk full", QuotaExceeded, _full, WRITING, says="no space"),
        Trouble("read-only", PermissionDenied, _read_only, WRITING | {Operation.DELETE}, says="read-only"),
        Trouble("unplugged", NotFound, _unplugged, ALL, says="mounted"),
    ),
)
