"""Setting up what opens the vault when nobody is there, and the units of jobs that need it."""

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
    """What the user asks for. Without `folder` no units are written; `job` is what they run, without the program."""

    variant: Variant
    key_file: Path | None = None
    password_command: tuple[str, ...] = ()
    folder: Path | None = None
    resume: bool = False
    on_calendar: str = "daily"
    job: tuple[str, ...] = ("transfers", "wait")
    user: str = ""
    """Whom a system service runs as; empty: who asks."""
    replace: bool = False


class KeySupply(msgspec.Struct, frozen=True, kw_only=True):
    """One of the ways to have the vault open by itself, and what is set up of it: a path or a command, or nothing.
    What systemd holds cannot be seen from here."""

    variant: Variant
    protects: str
    set_up: str = ""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    setup: Setup
    written: dict[Path, WriteState] = {}
    verdict: UnitVerdict = UnitVerdict(ok=None)

    @property
    def commands(self) -> tuple[str, ...]:
        """What is left to do: none without units to install."""
        return self.setup.commands if self.units_made else ()

    @property
    def units_made(self) -> bool:
        return bool(self.written)


def ways(paths: Paths) -> tuple[KeySupply, ...]:
    """The three ways, and which of them are set up. Nobody is asked."""
    settings = file.load(paths).store
    found = {Variant.KEY_FILE: settings.key_file, Variant.PASSWORD_COMMAND: shlex.join(settings.password_command)}
    return tuple(KeySupply(variant=each, protects=PROTECTION[each], set_up=found.get(each, "")) for each in Variant)


def words_of(command: str, field: str) -> tuple[str, ...]:
    """A command typed as one text, as a shell would cut it. Raises InvalidConfiguration for quotes left open."""
    try:
        return tuple(shlex.split(command))
    except ValueError:
        raise InvalidConfiguration("a quote is left open", field=field, hint="Close it.") from None


def set_up(paths: Paths, wanted: WantedSetup, program: tuple[str, ...]) -> Made:
    """Have the vault open by itself, and write units for jobs. Done again it changes nothing that is right already."""
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
    """A new slot of the vault, for a key that is returned and kept nowhere. Raises VaultLocked, SlotRefused."""
    key = RawKey.generate()
    slots.add_slot(paths, key, label)
    return key.text()


def program_here() -> tuple[str, ...]:
    """How a unit starts this very program: the command that was typed, or Python with the module."""
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
    """A key file that opens the vault. One that is there already is used, and given a slot where it has none."""
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
    """Before it is relied on: it has to print the passphrase of this vault, here and now."""
    if not command:
        raise InvalidConfiguration("password_command: none was given", field="password_command", hint="Name a command.")
    VaultKeyring(vault_path(paths)).file.open(passphrase.from_command(command))
