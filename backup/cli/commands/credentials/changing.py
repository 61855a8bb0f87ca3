"""`credentials set`, `test` and `remove`: the guide's verbs under another name."""

from __future__ import annotations

from typing import Final

from backup.cli.commands import remove_credentials, set_credentials, test_providers

COMMANDS: Final = {
    "set": set_credentials.command,
    "test": test_providers.command,
    "remove": remove_credentials.command,
}
