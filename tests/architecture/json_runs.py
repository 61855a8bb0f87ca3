"""Runs of every verb that prints JSON, over a small local storage with a real worker and real credential stores: the
keys it prints, and those of the configuration file."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import click

from backup.cli import diagnostics
from backup.cli.main import program, run
from backup.cli.session import Session
from backup.credentials.vault import VaultKeyring, unlocked_here, vault_path
from backup.system import logs
from backup.system.paths import APP_NAME, Paths
from providers.local.folder import temporary_name
from tests.backup.vault_tools import CHEAP
from tests.credentials_fixture import SecretService
from tests.processes import stop_worker
from tests.servers.dropbox_server import APP_KEY, DropboxServer

ROOT = Path(__file__).resolve().parents[2]
COUNTED = frozenset({"calls", "call_classes", "counts", "choices"})
"""Not recorded: the keys are names of requests and states, or the entries depend on this machine."""


def keys(value: Any, path: str = "") -> Iterator[str]:
    """The path of every key in a document: `jobs[].title`."""
    if isinstance(value, dict):
        for name, below in value.items():
            here = f"{path}.{name}" if path else name
            yield here
            if name not in COUNTED:
                yield from keys(below, here)
    elif isinstance(value, list):
        for below in value:
            yield from keys(below, f"{path}[]")


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every verb with its full name, in the order of --help."""
    context = click.Context(group, info_name="homeserver-backup")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{prefix}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")


def verbs_with_json() -> set[str]:
    return {
        name for name, command in commands(program) if any("--json" in parameter.opts for parameter in command.params)
    }


class Console:
    """Runs command lines in this process, with folders of their own below `home`."""

    def __init__(self, home: Path) -> None:
        self.paths = Paths(*(home / name / APP_NAME for name in ("config", "state", "data")))
        self.home = home
        self.json_keys: dict[str, set[str]] = {}
        self.config_keys: set[str] = set()

    def __call__(self, verb: str, *argv: str, stdin: str = "", passphrases: Iterable[str] = ()) -> Any:
        """The document that `verb` printed; its keys are recorded under `verb`."""
        unlocked_here(vault_path(self.paths)).lock()  # each command line is a process of its own
        handed: list[str] = []
        for option, text in zip(_PASSPHRASES, passphrases, strict=False):
            handed += [option, _pipe(text)]
        printed, said = io.StringIO(), io.StringIO()
        with (
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(said),
        ):
            run([*verb.split(), *argv, *handed, "--json"], "homeserver-backup", Session(self.paths))
        assert printed.getvalue(), f"{verb} {argv} printed no document: {said.getvalue()}"
        document = json.loads(printed.getvalue())
        self.json_keys.setdefault(verb, set()).update(keys(document))
        if self.paths.config_file.exists():
            self.config_keys.update(keys(json.loads(self.paths.config_file.read_text())))
        return document


_PASSPHRASES = ("--passphrase-fd", "--new-passphrase-fd")


def _pipe(text: str) -> str:
    reader, writer = os.pipe()
    os.write(writer, text.encode() + b"\n")
    os.close(writer)
    return str(reader)


def run_all(folder: Path) -> Console:
    """Run every verb. `folder` must be empty, and short enough for the path of a socket."""
    console = Console(folder / "home")
    bus = folder / "bus"
    bus.mkdir()
    places = {name: str(folder / "home" / part) for name, part in _PLACES.items()}
    with contextlib.ExitStack() as stack:
        session_bus = SecretService(bus)
        stack.callback(session_bus.close)
        keyring = session_bus.environment
        places |= {name: keyring[name] for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")}
        stack.enter_context(mock.patch.dict(os.environ, {**places, "HOME": str(folder / "home")}))
        stack.enter_context(mock.patch.dict(VaultKeyring.__init__.__kwdefaults__, {"cost": CHEAP}))
        stack.callback(logs.close)
        stack.callback(stop_worker, console.paths)
        _transfers(console, folder)
        _credentials(console, folder, session_bus)
        _authorize(console)
        _new_provider(console, folder)
    return console


_PLACES = {"XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "XDG_DATA_HOME": "data"}


def _transfers(console: Console, folder: Path) -> None:
    photos = folder / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"a" * 1000)
    (photos / "b.jpg").write_bytes(b"b")
    storage = console.paths.local_storage
    console("list-providers")
    console("upload", str(photos), "--dry-run")
    console("upload", str(photos))
    console("test-providers", "local")
    console("set-config", "usb", "type", "local")
    console("set-config", "usb", "container", str(folder / "not mounted"))
    console("test-providers", "usb")
    console("get-config")
    console("get-config", "--describe", "local")
    console("set-config", "local", "max_retries", "2")
    console("set-config", "history_days", "80")
    console("set-config", "default_provider", "local")
    console("disable-provider", "local")
    console("enable-provider", "local")
    console("list")
    console("list", "--folders")
    console("download", "photos/", "--to", f"{folder / 'back'}/", "--dry-run")
    console("download", "photos/", "--to", f"{folder / 'back'}/")
    console("delete", "photos/b.jpg", "--yes", "--dry-run")
    console("delete", "photos/b.jpg", "--yes")
    console("test-cycle", "--size", "1KiB")
    (storage / "taken" / "b.jpg").mkdir(parents=True)  # a file cannot replace a folder
    job = str(console("upload", str(photos / "b.jpg"), "--to", "taken/")["job"]["id"])
    for verb in ("pause", "resume", "retry", "cancel"):
        console(f"transfers {verb}", job)
    console("transfers wait")
    console("transfers wait", "--since", "1h")
    console("transfers")
    console("transfers list")
    console("transfers list", "--since", "1h")
    (storage / temporary_name("d", 1_700_000_000.0, "", 0)).write_bytes(b"123")
    console("unfinished")
    console("unfinished list")
    console("unfinished remove", "--older-than", "1d", "--yes")
    console("status")
    console("doctor")


def _credentials(console: Console, folder: Path, bus: SecretService) -> None:
    one, two = "correct horse", "battery staple"
    console("credentials create-vault", passphrases=[one])
    console("credentials use", "vault")
    console("set-config", "aws_s3", "container", "backups")
    for verb in ("set-credentials", "credentials set"):
        console(verb, "aws_s3", "-u", "AKIA", stdin="secret\n", passphrases=[one])
    console("credentials status")
    console("credentials list")
    console("credentials unlock", passphrases=[one])
    console("credentials lock")
    console("credentials test", "local")
    console("credentials doctor")
    slot = console("credentials add-passphrase", passphrases=[one, two])
    console("credentials remove-slot", str(slot["id"]), passphrases=[one])
    console("credentials change-passphrase", passphrases=[one, two])
    console("credentials renew-key", passphrases=[two])
    console("credentials unattended")
    console("credentials unattended", "key-file", "--key-file", str(folder / "key"), passphrases=[two])
    imported = folder / "earlier.json"
    imported.write_text(json.dumps({"old": {"type": "aws_s3", "container": "c", "access_key": "A", "secret_key": "S"}}))
    console("credentials import", "json", str(imported), "--yes", passphrases=[two])
    bus.start(password=None)
    console("credentials create-keyring", passphrases=[one])
    console("credentials move", "--to", "secret_service", "--keep", passphrases=[two])
    console("remove-credentials", "aws_s3")
    console("credentials remove", "old")


def _authorize(console: Console) -> None:
    with DropboxServer() as server:
        for key, value in {"app_key": APP_KEY, "endpoint_url": server.url}.items():
            console("set-config", "dropbox", key, value)
        brought: list[str] = []
        with (
            mock.patch.object(diagnostics, "address", new=lambda url: brought.append(str(server.allow(url)))),
            mock.patch("backup.cli.commands.authorize._pasted", side_effect=lambda _: brought[-1]),
        ):
            console("authorize", "dropbox", "--no-qr")


def _new_provider(console: Console, folder: Path) -> None:
    checkout = folder / "checkout"
    for part in ("providers/registry.py", "tests/contract/harnesses.py", "pyproject.toml"):
        (checkout / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / part, checkout / part)
    console("new-provider", "acme", "--checkout", str(checkout))
