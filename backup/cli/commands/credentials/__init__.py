"""`credentials`. A verb's module is loaded when the verb is used."""

from __future__ import annotations

import importlib
from typing import Final

import click

from backup.cli.naming import with_typed_name

VERBS: Final[dict[str, tuple[str, str]]] = {
    "status": ("looking", "Show the store in use, what it protects against, and what is in it."),
    "list": ("looking", "List credentials: set, missing, last used, expiring."),
    "doctor": ("doctor", "Check this machine: credentials and unattended transfers."),
    "set": ("changing", "Set the credentials of a provider (same as set-credentials)."),
    "test": ("changing", "Check that a provider accepts its credentials (same as test-providers)."),
    "remove": ("changing", "Remove the credentials of a provider (same as remove-credentials)."),
    "use": ("stores", "Choose the store, before anything is kept."),
    "unlock": ("stores", "Unlock the store; transfers that wait for it continue."),
    "lock": ("stores", "Lock the store."),
    "create-vault": ("stores", "Create the vault, an encrypted file of this program."),
    "create-keyring": ("stores", "Create the session's default keyring, if it has none."),
    "change-passphrase": ("slots", "Change the passphrase of the vault."),
    "add-passphrase": ("slots", "Add a passphrase that opens the vault."),
    "renew-key": ("slots", "Encrypt the vault under a new key, to shut out old passphrases and keys."),
    "remove-slot": ("slots", "Remove a way to open the vault (a key file, a unit)."),
    "move": ("moving", "Move all credentials to another store."),
    "import": ("importing", "Import providers from an earlier JSON file, AWS profiles or rclone."),
    "unattended": ("unattended", "Let unattended jobs open the vault."),
    "recovery-kit": ("recovery_kit", "Print one page: how to read the backups on another machine."),
}
"""Module and help line of every verb, so that --help loads none of them."""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"{__name__}.{VERBS[cmd_name][0]}")
        found: click.Command = module.COMMANDS[cmd_name]
        return with_typed_name(found, ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])


@click.group("credentials", cls=_Verbs, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Manage the credential store and what opens it. Without a command: status.

    A passphrase is typed at a hidden prompt, or read from --passphrase-fd N or the configured password_command; never
    from an argument or the environment.
    """
    if ctx.invoked_subcommand is None:
        found = _Verbs.get_command(command, ctx, "status")
        assert found is not None
        ctx.invoke(found)
