"""Public behaviour, recorded as sorted lines in `recorded/*.txt`.

    python -m tests.architecture.record

writes them again. Run it in the same commit as an intended change of public behaviour.
"""

from __future__ import annotations

import ast
import importlib
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import click
import msgspec

from backup.cli.diagnostics import ExitCode
from backup.cli.main import program
from backup.config import file as config
from backup.config import text as config_text
from backup.credentials.store import SERVICE_PREFIX
from backup.credentials.vault import VaultKeyring
from backup.credentials.vault_file import format as vault_format
from backup.journal.schema import open_connection
from backup.model.credentials import StoreBackend, StoreSettings
from providers import registry, settings
from tests.architecture import json_runs

ROOT: Final = Path(__file__).resolve().parents[2]
RECORDED: Final = Path(__file__).parent / "recorded"
PLUG_IN_MODULES: Final = (
    "providers.base",
    "providers.errors",
    "providers.remedies",
    "providers.settings",
    "providers.secret",
    *(f"providers.contract.{path.stem}" for path in sorted((ROOT / "providers/contract").glob("[!_]*.py"))),
    *(f"providers.testing.{name}" for name in ("fault_proxy", "faults", "fixtures", "guide_style", "harness")),
)


def exit_codes() -> Iterator[str]:
    for code in ExitCode:
        yield f"{code.value:3d} {code.name}"


def verbs() -> Iterator[str]:
    yield from _parameters("(every verb)", program)
    for name, command in json_runs.commands(program):
        yield name
        yield from _parameters(name, command)


def _parameters(verb: str, command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        needed = " required" if parameter.required else ""
        many = " repeatable" if parameter.nargs == -1 or getattr(parameter, "multiple", False) else ""
        choices = f" {'|'.join(map(str, parameter.type.choices))}" if isinstance(parameter.type, click.Choice) else ""
        flag = " flag" if getattr(parameter, "is_flag", False) else ""
        shown = parameter.make_metavar(click.Context(command)) if isinstance(parameter, click.Argument) else ""
        yield f"{verb}  {shown or ' '.join(sorted(parameter.opts))}{flag}{choices}{needed}{many}"


def setting_names() -> Iterator[str]:
    for name in (config.DEFAULT_PROVIDER, config.HISTORY_DAYS):
        yield f"(general) {name}"
    for service in registry.EMBEDDED:
        cls = registry.spec(service).settings
        assert cls is not None
        for field in settings.describe(cls):
            limits = " ".join(str(each) for each in field.choices)
            yield f"{service} {field.name} {field.kind}{' required' if field.required else ''} {limits}".rstrip()
        for name in cls.not_applicable:
            yield f"{service} {name} refused"


def journal() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, closing(open_connection(Path(folder) / "journal.sqlite")) as db:
        yield f"version {db.execute('PRAGMA user_version').fetchone()[0]}"
        for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            for column in db.execute(f"PRAGMA table_info({table})"):
                yield f"{table} {column['name']} {column['type']}{' NOT NULL' if column['notnull'] else ''}"


def plug_in_imports() -> Iterator[str]:
    """Names that a module defines, and recorded names that can still be imported from it."""
    known = [line.split() for line in recorded("plug_in_imports") if " " in line]
    for name in PLUG_IN_MODULES:
        module = importlib.import_module(name)
        kept = {word for of, word in known if of == name and hasattr(module, word)}
        for public in sorted(_defined(module) | kept):
            yield f"{name} {public}"
    base = importlib.import_module("providers.base").BaseProvider
    for public in sorted(each for each in dir(base) if not each.startswith("_")):
        yield f"providers.base.BaseProvider {public}"


def _defined(module: ModuleType) -> set[str]:
    assert module.__file__ is not None
    names: set[str] = set()
    for node in ast.parse(Path(module.__file__).read_text()).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return {name for name in names if not name.startswith("_")}


def entry_points() -> Iterator[str]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, target in project["scripts"].items():
        yield f"command {name} = {target}"
    for group, points in project["entry-points"].items():
        for name, target in points.items():
            yield f"entry point in {group}: {name} = {target}"
    yield f"entry points of plug-ins: {registry.ENTRY_POINT_GROUP}"
    yield f"keyring backend: {VaultKeyring.__module__}.{VaultKeyring.__qualname__}"
    yield f"name in the keyring: {SERVICE_PREFIX}<credentials_key>"
    yield f"vault format {vault_format.VERSION}"


def stores() -> Iterator[str]:
    yield f"version {config_text.VERSION}"
    for backend in StoreBackend:
        yield f"credential_store.backend = {backend}"
    for field in msgspec.structs.fields(StoreSettings):
        yield f"credential_store.{field.name}"


def of_runs(folder: Path) -> dict[str, set[str]]:
    """Lists that only real runs can make."""
    console = json_runs.run_all(folder)
    return {
        "json_keys": {f"{verb}: {key}" for verb, found in console.json_keys.items() for key in found},
        "config": {*stores(), *console.config_keys},
    }


LISTS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "exit_codes": exit_codes,
    "verbs": verbs,
    "setting_names": setting_names,
    "journal": journal,
    "plug_in_imports": plug_in_imports,
    "entry_points": entry_points,
}


def recorded(name: str) -> list[str]:
    file = RECORDED / f"{name}.txt"
    return file.read_text().splitlines() if file.exists() else []


def differences(name: str, found: set[str]) -> list[str]:
    """Sentences about missing and new lines compared with the record; empty if nothing has changed."""
    before = set(recorded(name))
    return [
        *(f"missing, and users may rely on it: {line}" for line in sorted(before - found)),
        *(f"new, and not recorded yet: {line}" for line in sorted(found - before)),
    ]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        found = {name: set(lines()) for name, lines in LISTS.items()} | of_runs(Path(folder))
    RECORDED.mkdir(exist_ok=True)
    for name, lines in found.items():
        for line in differences(name, lines):
            sys.stdout.write(f"{name}: {line}\n")
        (RECORDED / f"{name}.txt").write_text("".join(f"{line}\n" for line in sorted(lines)))


if __name__ == "__main__":
    main()
