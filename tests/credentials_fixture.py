"""A real Secret Service for tests: a private session bus, and GNOME Keyring on it. Nothing of the user's is touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection

_BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow user="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""
"""No service directories: the bus must not start a second, locked daemon of its own."""

_SERVICE = "org.freedesktop.secrets"


class SecretService:
    """A private bus; on it, once `start` was called, a keyring daemon."""

    def __init__(self, folder: Path, *, as_user: Sequence[str] = ()) -> None:
        """`as_user`: put before the commands of bus and daemon, to run them as another user, whose `folder` it is."""
        self.folder = folder
        self._as_user = as_user
        self.address = f"unix:path={folder / 'bus'}"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._bus = self._start_bus()

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process find this service, and no display to prompt on."""
        return {
            "DBUS_SESSION_BUS_ADDRESS": self.address,
            "XDG_RUNTIME_DIR": str(self.folder),
            "HOME": str(self.folder),
            "XDG_DATA_HOME": str(self.folder / "data"),
        }

    def start(self, *, password: str | None = "correct horse") -> None:
        """Start the daemon: unlocked (the default keyring is made the first time), or without password just running."""
        command = ["gnome-keyring-daemon", "--foreground", "--components=secrets"]
        self._daemon = subprocess.Popen(
            [*self._as_user, *command, *(["--unlock"] if password is not None else [])],
            env={"PATH": os.environ["PATH"], **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert self._daemon.stdin is not None
        self._daemon.stdin.write((password or "").encode())
        self._daemon.stdin.close()
        self._wait_for_owner(owned=True)

    def lock(self) -> None:
        """Restart the daemon locked."""
        self.stop_daemon()
        self.start(password=None)

    def freeze(self) -> None:
        """Have the daemon answer nothing from now on."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGSTOP)

    def stop_daemon(self) -> None:
        if self._daemon is not None:
            _end(self._daemon)
            self._daemon = None
            self._wait_for_owner(owned=False)

    def close(self) -> None:
        if self._daemon is not None:
            _end(self._daemon)
        _end(self._bus)

    def _start_bus(self) -> subprocess.Popen[bytes]:
        config = self.folder / "bus.conf"
        config.write_text(_BUS_CONFIG.format(socket=self.folder / "bus"))
        process = subprocess.Popen(
            [*self._as_user, "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait_until(self._listens, "the bus listens")
        return process

    def _listens(self) -> bool:
        """Its socket is there a moment before it takes connections."""
        try:
            open_dbus_connection(self.address).close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def _wait_for_owner(self, *, owned: bool) -> None:
        with open_dbus_connection(self.address) as connection:
            bus = Proxy(message_bus, connection, timeout=5)
            _wait_until(lambda: bool(bus.NameHasOwner(_SERVICE)[0]) == owned, f"{_SERVICE} owned: {owned}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(timeout=10)


def _wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def secret_service_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretService]:
    """A private session bus with nobody on it yet; this process and its children find it."""
    folder = Path(tempfile.mkdtemp(prefix="bus-"))  # short: a socket's path may have 107 bytes
    service = SecretService(folder)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", service.address)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield service
    service.close()
    shutil.rmtree(folder)


@pytest.fixture
def secret_service(secret_service_bus: SecretService) -> SecretService:
    """A keyring that is there and unlocked."""
    secret_service_bus.start()
    return secret_service_bus
