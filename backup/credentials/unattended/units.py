"""Unattended jobs: their source of the vault's key, and the systemd units that run them.

Building a unit is pure. `write_units` writes into the user's folder, `verify_units` has systemd check them. The user
enables them: the commands are part of the result.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from backup.credentials.passphrase import CREDENTIAL_NAME
from backup.system.private_files import write_private
from providers.errors import Conflict, InvalidConfiguration, PermissionDenied

SYSTEM_FOLDER: Final = Path("/etc/systemd/system")
CREDENTIAL_FILE: Final = Path("/etc/credstore.encrypted") / CREDENTIAL_NAME
_VERIFY_TIMEOUT_S: Final = 30.0
_LONGEST_ANSWER: Final = 8192


class Variant(StrEnum):
    """The source of the key or passphrase for unattended jobs."""

    SYSTEMD_CREDENTIAL = "systemd_credential"
    KEY_FILE = "key_file"
    PASSWORD_COMMAND = "password_command"


PROTECTION: Final = {
    Variant.SYSTEMD_CREDENTIAL: (
        "Protects a copied home folder or a backup of it, because the key is encrypted for this machine; "
        "not against root, or the thief of an unencrypted disk."
    ),
    Variant.KEY_FILE: (
        "Protects against other users of this machine, who cannot read the file; not against root, the thief of an "
        "unencrypted disk, or anyone with a copy of both the file and the vault."
    ),
    Variant.PASSWORD_COMMAND: (
        "Protects as well as the program it asks does while it answers unattended; "
        "not against root, or other processes of yours, which can ask it too."
    ),
}


class SystemdUnit(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    text: str


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Units to write, and commands for the user, in order. Contains no secret."""

    variant: Variant
    protects: str
    units: tuple[SystemdUnit, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()
    user_units: bool = False
    """For the user's own systemd, not the system's."""


class WriteState(StrEnum):
    WRITTEN = "written"
    UNCHANGED = "unchanged"
    REPLACED = "replaced"


class UnitVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `systemd-analyze verify`. `ok` is None if it could not be run."""

    ok: bool | None
    says: str = ""


def timer_setup(
    variant: Variant,
    *,
    user: str,
    command: Sequence[str],
    on_calendar: str = "daily",
    key_file: Path | None = None,
    key_command: Sequence[str] = ("homeserver-backup", "credentials", "unattended", "--print-key"),
    folder: Path = SYSTEM_FOLDER,
) -> Setup:
    """A system service that runs `command` as `user` at the times of `on_calendar`, and its timer.

    `command` must run until its work is done: systemd kills the rest of a service when its command ends. `key_command`
    prints the key of a new slot to a pipe. Raises InvalidConfiguration for text that a unit cannot hold.
    """
    service = SystemdUnit(name="homeserver-backup.service", text=_system_service(variant, user, command, key_file))
    timer = SystemdUnit(name="homeserver-backup.timer", text=_timer(on_calendar))
    place = shlex.quote(str(folder))
    commands = (
        [f"sudo cp {place}/{service.name} {place}/{timer.name} {SYSTEM_FOLDER}/"] if folder != SYSTEM_FOLDER else []
    )
    if variant is Variant.SYSTEMD_CREDENTIAL:
        commands = [*credential_commands(key_command), *commands]
    commands += [
        "sudo systemctl daemon-reload",
        f"sudo systemctl enable --now {timer.name}",
        f"systemctl list-timers {timer.name}",
    ]
    return Setup(
        variant=variant,
        protects=PROTECTION[variant],
        units=(service, timer),
        commands=tuple(commands),
        notes=_notes(variant),
    )


def resume_setup(variant: Variant, *, user: str, command: Sequence[str], key_file: Path | None = None) -> Setup:
    """A service of the user's own systemd that runs `command` after each boot, to resume the queue.

    Raises InvalidConfiguration for SYSTEMD_CREDENTIAL: user services read encrypted credentials only since systemd 258.
    """
    if variant is Variant.SYSTEMD_CREDENTIAL:
        raise InvalidConfiguration(
            "a user service cannot read encrypted credentials before systemd 258",
            hint="Use a key file or password_command, or the system service with its timer.",
        )
    unit = SystemdUnit(name="homeserver-backup-resume.service", text=_user_service(variant, command, key_file))
    home = "~/.config/systemd/user"
    return Setup(
        variant=variant,
        protects=PROTECTION[variant],
        units=(unit,),
        commands=(
            f"sudo loginctl enable-linger {_user(user)}",
            f"install -D -m 644 {unit.name} {home}/{unit.name}",
            "systemctl --user daemon-reload",
            f"systemctl --user enable {unit.name}",
        ),
        notes=(
            "Without linger, user services start only at login, and end with the last session.",
            *_notes(variant),
        ),
        user_units=True,
    )


def credential_commands(key_command: Sequence[str], *, with_key: str = "host") -> tuple[str, ...]:
    """Commands that have systemd encrypt the key of a new slot, through a pipe and never a file in clear."""
    encrypt = f"systemd-creds encrypt --with-key={with_key} --name={CREDENTIAL_NAME} - {CREDENTIAL_FILE}"
    return (f"sudo install -d -m 700 {CREDENTIAL_FILE.parent}", f"{shlex.join(key_command)} | sudo {encrypt}")


def write_units(setup: Setup, folder: Path, *, replace: bool = False) -> dict[Path, WriteState]:
    """Write the units into `folder` (0644). Raises Conflict, and writes nothing, if one exists with other content,
    unless `replace`. Raises PermissionDenied.
    """
    states: dict[Path, WriteState] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for unit in setup.units:
            states[folder / unit.name] = _compare(folder / unit.name, unit.text.encode())
        changed = [path.name for path, state in states.items() if state is WriteState.REPLACED]
        if changed and not replace:
            raise Conflict(
                f"{', '.join(changed)} in {folder} exists with other content", hint="Check it, then replace it."
            )
        for unit in setup.units:
            path = folder / unit.name
            if states[path] is not WriteState.UNCHANGED:
                write_private(path, unit.text.encode())
                path.chmod(0o644)
    except OSError as error:
        raise PermissionDenied(
            f"{folder} cannot be written: {error.strerror}", hint="Choose a folder that you can write to."
        ) from error
    return states


def verify_units(paths: Iterable[Path], *, user_units: bool = False) -> UnitVerdict:
    """Run `systemd-analyze verify` for at most 30 s."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return UnitVerdict(ok=None, says="systemd-analyze is not installed: the units were not checked")
    command = [program, "verify", "--man=no", "--user" if user_units else "--system", *map(str, paths)]
    try:
        with tempfile.TemporaryDirectory() as runtime:  # needed for user units even if nobody is logged in
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_VERIFY_TIMEOUT_S,
                check=False,
                env={"XDG_RUNTIME_DIR": runtime, **os.environ},
            )
    except subprocess.TimeoutExpired:
        return UnitVerdict(ok=None, says=f"systemd-analyze did not finish within {_VERIFY_TIMEOUT_S:g} s")
    except OSError as error:
        return UnitVerdict(ok=None, says=f"systemd-analyze cannot be run: {error.strerror}")
    says = (done.stdout + done.stderr)[:_LONGEST_ANSWER].decode("utf-8", "replace").strip()
    if "Failed to initialize manager" in says:
        return UnitVerdict(ok=None, says=says)
    return UnitVerdict(ok=done.returncode == 0, says=says)


def _compare(path: Path, text: bytes) -> WriteState:
    if not path.exists():
        return WriteState.WRITTEN
    return WriteState.UNCHANGED if path.read_bytes() == text else WriteState.REPLACED


def _system_service(variant: Variant, user: str, command: Sequence[str], key_file: Path | None) -> str:
    return _unit(
        ("Unit", ["Description=HOMESERVER Backup", "Wants=network-online.target", "After=network-online.target"]),
        (
            "Service",
            [
                "Type=oneshot",
                f"User={_user(user)}",
                *_source(variant, key_file, system=True),
                f"ExecStart={_command(command)}",
                "Nice=10",
                "UMask=0077",
                "LimitCORE=0",
                "NoNewPrivileges=yes",
                "TimeoutStartSec=infinity",
            ],
        ),
    )


def _user_service(variant: Variant, command: Sequence[str], key_file: Path | None) -> str:
    return _unit(
        ("Unit", ["Description=HOMESERVER Backup: go on with the queue after a reboot"]),
        (
            "Service",
            [
                "Type=exec",
                *_source(variant, key_file, system=False),
                f"ExecStart={_command(command)}",
                "Restart=on-failure",
                "RestartSec=60",
                "Nice=10",
                "UMask=0077",
                "LimitCORE=0",
            ],
        ),
        ("Install", ["WantedBy=default.target"]),
    )


def _timer(on_calendar: str) -> str:
    return _unit(
        ("Unit", ["Description=HOMESERVER Backup, at its times"]),
        ("Timer", [f"OnCalendar={_plain(on_calendar)}", "Persistent=true", "RandomizedDelaySec=15min"]),
        ("Install", ["WantedBy=timers.target"]),
    )


def _source(variant: Variant, key_file: Path | None, *, system: bool) -> list[str]:
    if variant is Variant.SYSTEMD_CREDENTIAL:
        return [f"LoadCredentialEncrypted={CREDENTIAL_NAME}:{CREDENTIAL_FILE}"]
    if variant is Variant.PASSWORD_COMMAND:
        return []
    if key_file is None or not key_file.is_absolute():
        raise InvalidConfiguration("a key file needs an absolute path", field="key_file")
    if system:
        return [f"LoadCredential={CREDENTIAL_NAME}:{_plain(str(key_file)).replace('%', '%%')}"]
    return [f"Environment={_quoted(f'KEYRING_PROPERTY_KEY_FILE={key_file}', dollar='$')}"]


def _notes(variant: Variant) -> tuple[str, ...]:
    match variant:
        case Variant.SYSTEMD_CREDENTIAL:
            return (
                "Tokens that a service renews stay in the vault, which the job can write; systemd holds only the key.",
            )
        case Variant.KEY_FILE:
            return ("Leave the key file out of every backup that holds the vault. Cron jobs use the same file.",)
        case Variant.PASSWORD_COMMAND:
            return ("password_command is in the configuration now; it runs without terminal and input.",)


def _unit(*sections: tuple[str, list[str]]) -> str:
    return "\n".join("\n".join([f"[{name}]", *lines, ""]) for name, lines in sections)


def _command(words: Sequence[str]) -> str:
    if not words or not words[0].startswith("/"):
        raise InvalidConfiguration("a unit's command begins with an absolute path", field="command")
    return " ".join(
        [_plain(words[0]).replace("%", "%%") if " " not in words[0] else _quoted(words[0]), *map(_quoted, words[1:])]
    )


def _quoted(word: str, *, dollar: str = "$$") -> str:
    """One word quoted for systemd (systemd.service(5), COMMAND LINES). In `Environment=` a dollar is literal."""
    escaped = _plain(word).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", dollar)
    return escaped if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", word) else f'"{escaped}"'


def _plain(text: str) -> str:
    if not text or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise InvalidConfiguration("a unit cannot hold an empty text or control characters", field="unit")
    return text


def _user(name: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_.-]{0,31}\$?", name):
        raise InvalidConfiguration("user: not a valid user name", field="user")
    return name
