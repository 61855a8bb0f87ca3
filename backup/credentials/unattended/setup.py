"""Setup of unattended jobs: the key that opens the vault for them, and their units."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import sys
from pathlib import Path

import msgspec

from backup.config import file
from backup.credentials import passphrase, selection, slots
from backup.credentials.unattended.units import (
    PROTECTION,
    Setup,
    UnitVerdict,
    Variant,
    WriteState,
    resume_setup,
    timer_setup,
    verify_units,
    write_units,
)
from backup.credentials.vault import VaultKeyring
from backup.credentials.vault_file.errors import WrongKey
from backup.credentials.vault_file.slots import RawKey
from backup.credentials.vault_file.unlocked import vault_path
from backup.model.credentials import TITLES, StoreBackend
from backup.system.paths import Paths
from backup.system.private_files import private_folder
from backup.system.terminal import UTF8_OPTIONS
from providers.errors import InvalidConfiguration, Unsupported
from providers.remedies import Action, Remedy
from providers.secret import Secret


class WantedSetup(msgspec.Struct, frozen=True, kw_only=True):
    """The user's request. Without `folder` no units are written; `job` is their command, without the program."""

    variant: Variant
    key_file: Path | None = None
    password_command: tuple[str, ...] = ()
    folder: Path | None = None
    resume: bool = False
    on_calendar: str = "daily"
    job: tuple[str, ...] = ("transfers", "wait")
    user: str = ""
    """User of a system service; empty: the current one."""
    replace: bool = False


class KeySupply(msgspec.Struct, frozen=True, kw_only=True):
    """One way for unattended jobs to open the vault, and its path or command if it is set up. systemd's credential
    cannot be seen from here."""

    variant: Variant
    protects: str
    set_up: str = ""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    setup: Setup
    written: dict[Path, WriteState] = {}
    verdict: UnitVerdict = UnitVerdict(ok=None)

    @property
    def commands(self) -> tuple[str, ...]:
        """Commands left to the user; none without units to install."""
        return self.setup.commands if self.units_made else ()

    @property
    def units_made(self) -> bool:
        return bool(self.written)


def ways(paths: Paths) -> tuple[KeySupply, ...]:
    """The three ways, and which are set up. Prompts nobody."""
    settings = file.load(paths).store
    found = {Variant.KEY_FILE: settings.key_file, Variant.PASSWORD_COMMAND: shlex.join(settings.password_command)}
    return tuple(KeySupply(variant=each, protects=PROTECTION[each], set_up=found.get(each, "")) for each in Variant)


def words_of(command: str, field: str) -> tuple[str, ...]:
    """The words of a command, split as a shell does. Raises InvalidConfiguration for an open quote."""
    try:
        return tuple(shlex.split(command))
    except ValueError:
        raise InvalidConfiguration("a quote is left open", field=field, hint="Close it.") from None


def set_up(paths: Paths, wanted: WantedSetup, program: tuple[str, ...]) -> Made:
    """Let unattended jobs open the vault, and write their units. Idempotent."""
    _refuse_other_stores(paths)
    key_file: Path | None = None
    match wanted.variant:
        case Variant.KEY_FILE:
            key_file = (wanted.key_file or paths.state_dir / "vault.key").expanduser().absolute()
            _make_key_file(paths, key_file)
            with file.edit(paths) as draft:
                draft.open_store_with(key_file=str(key_file))
        case Variant.PASSWORD_COMMAND:
            _try_command(paths, wanted.password_command)
            with file.edit(paths) as draft:
                draft.open_store_with(password_command=wanted.password_command)
        case Variant.SYSTEMD_CREDENTIAL:
            VaultKeyring(vault_path(paths)).file.describe()
    if wanted.folder is None and wanted.variant is not Variant.SYSTEMD_CREDENTIAL:
        return Made(setup=Setup(variant=wanted.variant, protects=PROTECTION[wanted.variant], units=(), commands=()))
    setup = _units(wanted, key_file, program)
    if wanted.folder is None:
        return Made(setup=setup)
    written = write_units(setup, wanted.folder.expanduser().absolute(), replace=wanted.replace)
    verdict = verify_units(written, user_units=setup.user_units)
    return Made(setup=setup, written=written, verdict=verdict)


def add_key_slot(paths: Paths, label: str) -> Secret:
    """Add a slot to the vault and return its key, which is kept nowhere. Raises VaultLocked, SlotRefused."""
    key = RawKey.generate()
    slots.add_slot(paths, key, label)
    return key.text()


def program_here() -> tuple[str, ...]:
    """The command with which a unit starts this program: the one that was typed, or Python with the module."""
    typed = shutil.which(sys.argv[0])
    if typed and Path(typed).name != "__main__.py":
        return (os.path.abspath(typed),)
    return (sys.executable, *UTF8_OPTIONS, "-P", "-m", "backup")


def _refuse_other_stores(paths: Paths) -> None:
    kind = selection.kind_of(selection.choose(paths))
    if kind is not StoreBackend.VAULT:
        raise Unsupported(
            f"credentials are kept in the {TITLES[kind] if kind else 'keyring'}, which only you can unlock",
            hint="Move them to the vault first.",
            remedies=(Remedy(Action.MOVE_CREDENTIALS, value=StoreBackend.VAULT.value),),
        )


def _units(wanted: WantedSetup, key_file: Path | None, program: tuple[str, ...]) -> Setup:
    command = (*program, *wanted.job)
    if wanted.resume:
        return resume_setup(wanted.variant, user=wanted.user or getpass.getuser(), command=command, key_file=key_file)
    return timer_setup(
        wanted.variant,
        user=wanted.user or getpass.getuser(),
        command=command,
        on_calendar=wanted.on_calendar,
        key_file=key_file,
        key_command=(*program, "credentials", "unattended", "--print-key"),
        **({"folder": wanted.folder.expanduser().absolute()} if wanted.folder else {}),
    )


def _make_key_file(paths: Paths, path: Path) -> None:
    """Create a key file that opens the vault. An existing one is used, and gets a slot if it has none."""
    vault = VaultKeyring(vault_path(paths))
    if not os.path.lexists(path):
        if path.parent == paths.state_dir:
            private_folder(path.parent)
        slots.data_key(paths)
        passphrase.write_key_file(path, RawKey.generate())
    key = passphrase.read_key_file(path)
    try:
        vault.file.open(key)
    except WrongKey:
        slots.add_slot(paths, key, f"key file {path}")


def _try_command(paths: Paths, command: tuple[str, ...]) -> None:
    """Check that the command prints the passphrase of this vault now. Raises if it does not."""
    if not command:
        raise InvalidConfiguration("password_command: none was given", field="password_command", hint="Name a command.")
    VaultKeyring(vault_path(paths)).file.open(passphrase.from_command(command))
