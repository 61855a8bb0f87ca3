"""The core names neither verbs nor keys: it gives a Remedy, and each front end words it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

import backup
from backup.cli import remedies as verbs
from backup.cli.main import program
from backup.credentials.vault_file.errors import WrongPassphrase
from backup.system.packing import pack, unpack
from providers.contract.report import ErrorInfo
from providers.errors import Authentication, InvalidConfiguration, ProviderError
from providers.remedies import Action, Remedy
from tests.architecture import json_runs
from tui import remedies as keys

ROOT: Final = Path(__file__).resolve().parents[2]
SHELL: Final = {
    "backup/credentials/unattended/units.py",
    "backup/credentials/unattended/setup.py",
    "backup/queue/logind.py",
}
"""Modules that write commands for a unit or another program, where verbs are intended."""
COMMANDS: Final = dict(json_runs.commands(program))
PHRASES: Final = {name for name in COMMANDS if " " in name or "-" in name}
FLAGS: Final = {
    flag for command in COMMANDS.values() for each in command.params for flag in each.opts if flag[:2] == "--"
}
NAMED: Final = re.compile(
    rf"(?<![\w/-])(?:{'|'.join(map(re.escape, sorted(PHRASES | FLAGS, key=len, reverse=True)))})(?![\w-])"
    rf"|`(?:{'|'.join(COMMANDS)})\b|\((?:{'|'.join(COMMANDS)})\)|\b[Rr]un (?:{'|'.join(COMMANDS)})\b|backup-venv"
)
ALL: Final = [
    remedy
    for action in Action
    for remedy in (
        Remedy(action),
        Remedy(action, "nas"),
        Remedy(action, setting="region"),
        Remedy(action, "nas", "region", "eu"),
    )
]


def texts(path: Path) -> Iterator[str]:
    """Every text of a module except docstrings; formatted values are replaced by NAME."""
    tree = ast.parse(path.read_text())
    seen = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            seen |= {id(part) for part in node.values}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "NAME" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in seen:
            yield node.value


def test_no_text_of_the_core_names_a_verb_or_flag_of_the_command_line() -> None:
    assert NAMED.search("Set it with set-config.")
    assert NAMED.search("then (authorize)")
    assert NAMED.search("leave --owner out")
    files = [path.relative_to(ROOT) for room in ("backup", "providers") for path in (ROOT / room).rglob("*.py")]
    core = [path for path in files if path.parts[:2] != ("backup", "cli") and str(path) not in SHELL]
    assert len(core) > 200
    assert [(str(path), text) for path in core for text in texts(ROOT / path) if NAMED.search(text)] == []


@pytest.mark.parametrize("remedy", ALL, ids=str)
def test_both_front_ends_have_a_sentence_for_every_remedy(remedy: Remedy) -> None:
    for words in (verbs.words(remedy), keys.words(remedy)):
        assert words[0].isupper() or words.startswith("upload")
        assert words.endswith(".")
        assert "  " not in words
        assert " :" not in words


@pytest.mark.parametrize("remedy", ALL, ids=str)
def test_verbs_are_on_the_command_line_and_not_in_the_console(remedy: Remedy) -> None:
    assert not NAMED.search(keys.words(remedy))
    if remedy.action is not Action.UNKNOWN:
        named = NAMED.search(verbs.words(remedy))
        assert named or "upload --help" in verbs.words(remedy)


@pytest.mark.parametrize(
    ("error", "on_the_command_line", "in_the_console"),
    [
        (
            Authentication("no"),
            "Check the credentials. Set the credentials: set-credentials.",
            "Check the credentials. Set the credentials: r in Credentials (5, c).",
        ),
        (
            ProviderError("no", hint="Look.", remedies=(Remedy(Action.CHECK, "nas"), Remedy(Action.ENABLE, "nas"))),
            "Look. Run test-providers nas first. Check and enable it: enable-provider nas.",
            "Look. Check it first: t in Providers (1). Check and enable it: t, then e in Providers (1).",
        ),
        (ProviderError("no", hint="Look."), "Look.", "Look."),
        (ProviderError("no"), "", ""),
    ],
)
def test_an_error_advises_in_the_words_of_the_front_end(
    error: ProviderError, on_the_command_line: str, in_the_console: str
) -> None:
    for each in (error, ErrorInfo.of(error)):
        assert verbs.advice(each) == on_the_command_line
        assert keys.advice(each) == in_the_console


def test_the_hint_of_an_error_replaces_that_of_its_class() -> None:
    assert InvalidConfiguration("no").remedies == (Remedy(Action.SET_SETTING),)
    hinted = InvalidConfiguration("no", hint="Look.")
    assert (hinted.hint, hinted.remedies) == ("Look.", ())
    own = Authentication("no", remedies=(Remedy(Action.AUTHORIZE),))
    assert (own.hint, own.remedies) == ("", (Remedy(Action.AUTHORIZE),))


@pytest.mark.parametrize("remedy", ALL, ids=str)
def test_a_remedy_crosses_processes_and_the_journal(remedy: Remedy) -> None:
    info = ErrorInfo.of(ProviderError("no", hint="Look.", remedies=(remedy,), code="c"))
    there = unpack(pack(info), ErrorInfo)
    assert there == info
    assert there.error().remedies == (remedy,)
    assert ErrorInfo.of(there.error()) == info


def test_a_hint_of_an_earlier_version_is_shown_as_text() -> None:
    old = unpack(b'{"kind":"configuration","message":"no","hint":"Set it with set-config.","code":"region"}', ErrorInfo)
    assert (verbs.advice(old), keys.advice(old)) == ("Set it with set-config.",) * 2
    assert ErrorInfo.of(old.error()) == old


def test_a_remedy_of_a_later_version_is_read_as_unknown() -> None:
    later = b'{"kind":"vault","message":"no","remedies":[{"action":"pray","instance":"nas","to":"whom"}]}'
    assert unpack(later, ErrorInfo).remedies == (Remedy(Action.UNKNOWN, "nas"),)


def test_json_has_the_remedy_in_the_hint_and_no_other_key() -> None:
    error = ErrorInfo("vault_locked", "no", "Look.", "", (Remedy(Action.UNLOCK_STORE),))
    found = verbs.in_json(msgspec.to_builtins({"items": [{"error": error}, {"error": None}]}))
    assert found == {
        "items": [
            {
                "error": {
                    "kind": "vault_locked",
                    "message": "no",
                    "hint": "Look. To unlock it here: credentials unlock.",
                    "code": "",
                }
            },
            {"error": None},
        ]
    }


def test_a_fix_of_its_own_is_not_mixed_with_what_helps_against_other_errors() -> None:
    """An error class that says itself how to fix it offers only the remedies that it names itself."""
    for module in pkgutil.walk_packages(backup.__path__, "backup."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    classes, mixed = [ProviderError], []
    while classes:
        cls = classes.pop()
        classes += cls.__subclasses__()
        if "cure" in vars(cls) and cls.remedies != vars(cls).get("remedies", ()):
            mixed.append(cls.__name__)
    assert mixed == []
    assert "set-credentials" not in verbs.advice(WrongPassphrase("it does not open the vault"))
