"""What the core says in the words of the command line is said in the console's own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.cli.commands import credentials
from backup.cli.main import VERBS
from tui.remedies import in_console

ROOT = Path(__file__).parents[2]
_SHELL = {
    "backup/scaffold/templates.py",
    "backup/credentials/unattended/units.py",
    "backup/credentials/unattended/setup.py",
}
"""For a shell, or a README: there the verbs are meant."""
_VERB = re.compile(
    rf"(?<![\w/-])(?:credentials (?:{'|'.join(credentials.VERBS)})\b|--passphrase-fd|"
    rf"(?:{'|'.join(name for name in VERBS if '-' in name)}|authorize)(?![\w?-]))"
)


def _texts(path: Path) -> Iterator[str]:
    """Every text of a module that is no docstring; what is formatted into one stands as NAME."""
    tree = ast.parse(path.read_text())
    seen = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            seen |= {id(part) for part in node.values}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "NAME" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in seen:
            yield node.value


def _told() -> list[str]:
    files = [path for room in ("backup", "providers") for path in sorted((ROOT / room).rglob("*.py"))]
    core = [path for path in files if path.parts[-3:-2] != ("cli",) and "/cli/" not in str(path)]
    core = [path for path in core if str(path.relative_to(ROOT)) not in _SHELL]
    return sorted({text for path in core for text in _texts(path) if " " in text and _VERB.search(text)})


def test_no_text_of_the_core_names_a_verb_in_the_console() -> None:
    told = _told()
    assert len(told) > 20
    assert [text for text in told if _VERB.search(in_console(text))] == []


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("Unlock the vault with its passphrase: credentials unlock.", "u (U in Browse)."),
        ("Set them: set-credentials aws_s3.", "Set them: r in Credentials (5, c)."),
        ("Take them along: credentials move --to vault.", "Take them along: s in Credentials (5, c)."),
        ("Run authorize again and sign in", "Repeat the authorisation (r in Credentials (5, c)) and sign in"),
        ("Check the credentials, and try again.", "Check the credentials, and try again."),
    ],
)
def test_the_key_that_does_the_same(text: str, own: str) -> None:
    assert in_console(text).endswith(own)
