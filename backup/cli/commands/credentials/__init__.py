"""`credentials`: each verb's module is loaded when that verb is used."""

from __future__ import annotations

import importlib
from typing import Final

import click

from backup.cli.naming import in_its_words

VERBS: Final[dict[str, tuple[str, str]]] = {
    "status": ("looking", "Which store is used, what it protects against, what is in it."),
    "list": ("looking", "Each credential: set, missing, last used, expiring."),
    "doctor": ("doctor", "What holds on this machine for credentials and for transfers without you."),
    "set": ("changing", "Keep the credentials of a provider (as set-credentials)."),
    "test": ("changing", "Check that a provider accepts its credentials (as test-providers)."),
    "remove": ("changing", "Remove the credentials of a provider (as remove-credentials)."),
    "use": ("stores", "Choose the store, while nothing is kept yet."),
    "unlock": ("stores", "Unlock the store; transfers that wait for it go on."),
    "lock": ("stores", "Lock it again."),
    "create-vault": ("stores", "Make the vault, an encrypted file of this program."),
    "create-keyring": ("stores", "Make the session's default keyring, where it has none."),
    "change-passphrase": ("slots", "Change the passphrase of the vault."),
    "add-passphrase": ("slots", "One more passphrase that opens the vault."),
    "renew-key": ("slots", "Shut out whoever had an old passphrase, key or copy of the vault."),
    "remove-slot": ("slots", "Take a way to open the vault away (a key file, a unit)."),
    "move": ("moving", "Take all credentials to another store."),
    "import": ("importing", "Take providers over from an earlier JSON file, AWS profiles or rclone."),
    "unattended": ("unattended", "Have jobs that nobody sits beside open the vault by themselves."),
    "recovery-kit": ("recovery_kit", "One page to print: how to read the backups on another machine."),
}
"""Every verb with its module and its one line, so that --help need not load them."""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"{__name__}.{VERBS[cmd_name][0]}")
        found: click.Command = module.COMMANDS[cmd_name]
        return in_its_words(found, ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])


@click.group("credentials", cls=_Verbs, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Where credentials are kept, and what opens that place. Without a command: status.

    A passphrase is asked for without showing it, comes from --passphrase-fd N, or from the configured password_command;
    it is never an argument, and never in the environment.
    """
    if ctx.invoked_subcommand is None:
        found = _Verbs.get_command(command, ctx, "status")
        assert found is not None
        ctx.invoke(found)
