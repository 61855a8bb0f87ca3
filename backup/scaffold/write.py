"""Skeleton of a new service: its folder, README, and a harness that lists what is still to do."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from providers import settings
from providers.errors import Conflict, InvalidName, Unsupported
from providers.settings import ProviderSettings, SettingField

_OURS: Final = ("from providers.", "from tests.")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")


def write(checkout: Path, name: str) -> list[Path]:
    """Write a service's files into a checkout of the program, and register it. Returns the files written or changed.

    Raises InvalidName, Conflict if it exists, Unsupported if `checkout` is not a checkout; then nothing is written.
    """
    if not _NAME.fullmatch(name) or not name.isidentifier():
        raise InvalidName(
            f"{name!r} is not a service name", hint="Use a lower-case letter, then letters, digits and _."
        )
    registry, harnesses = checkout / "providers" / "registry.py", checkout / "tests" / "contract" / "harnesses.py"
    project = checkout / "pyproject.toml"
    if not all(path.is_file() for path in (registry, harnesses, project)):
        raise Unsupported(
            f"{checkout} is not a checkout of this program", hint="Run it in the folder that has providers/ and tests/."
        )
    folder = checkout / "providers" / name
    harness = checkout / "tests" / "contract" / f"{name}_harness.py"
    if folder.exists() or harness.exists():
        raise Conflict(f"{folder} exists already", hint="Choose another name, or remove it first.")
    changed = {
        registry: _registered(registry.read_text(), name),
        harnesses: _listed(harnesses.read_text(), name),
        project: _layered(project.read_text(), name),
    }
    words = {"name": name, "title": name.replace("_", " ").title(), "cls": name.title().replace("_", "")}
    words |= {"harness": name.upper(), "table": _table()}
    made = {folder / "__init__.py": ""}
    made |= {folder / file: _filled(file, words) for file in ("settings.py", "provider.py", "README.md")}
    made[harness] = _filled("harness.py", words)
    folder.mkdir()
    for path, text in {**made, **changed}.items():
        path.write_text(_sorted_imports(text) if path in made else text)
    return [*made, *changed]


def _filled(name: str, words: dict[str, str]) -> str:
    """The template of a file, with `$name`, `$title`, `$cls`, `$harness` and `$table` replaced."""
    template = resources.files(__package__) / "templates" / f"{name}.template"
    return Template(template.read_text(encoding="utf-8")).substitute(words)


def _table() -> str:
    """The standard settings, as a README lists them."""
    fields = settings.describe(ProviderSettings)
    rows = [f"| `{field.name}` | {field.label} | {_default(field)} | {field.help} |" for field in fields]
    return "\n".join(["| Setting | Label | Default | Meaning |", "|---|---|---|---|", *rows])


def _default(field: SettingField) -> str:
    if field.required:
        return "**required**"
    if field.default is None:
        return "none"
    if field.default == "":
        return "empty"
    text = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    return f"`{text}`" + (f" {field.unit}" if field.unit else "")


def _registered(text: str, name: str) -> str:
    return _once(r"(EMBEDDED: Final = \([^)]*)\)", rf'\1, "{name}")', text)


def _layered(text: str, name: str) -> str:
    return _once(r'("aws_s3 \| [^"]*)"', rf'\1 | {name}"', text)


def _listed(text: str, name: str) -> str:
    constant = name.upper()
    text = _once(r"(HARNESSES: tuple\[Harness, \.\.\.\] = \([^)]*)\)", rf"\1, {constant})", text)
    lines = text.splitlines(keepends=True)
    own = f"from tests.contract.{name}_harness import {constant}\n"
    imports = sorted([own, *(line for line in lines if line.startswith(_OURS))])
    rest = [line for line in lines if not line.startswith(_OURS)]
    at = next(number for number, line in enumerate(rest) if line.startswith("HARNESSES"))
    head = "".join(rest[:at]).rstrip("\n")
    return f"{head}\n\n{''.join(imports)}\n{''.join(rest[at:])}"


def _sorted_imports(text: str) -> str:
    """Sort our own imports as lint requires, whatever the service's name."""
    ours = [line for line in text.splitlines(keepends=True) if line.startswith("from providers.")]
    block = "".join(ours)
    return text.replace(block, "".join(sorted(ours, key=lambda line: line.split()[1]))) if block else text


def _once(pattern: str, new: str, text: str) -> str:
    changed, count = re.subn(pattern, new, text, count=1)
    if not count:
        raise Unsupported("the registry has another form", hint="Add the service by hand: CONTRIBUTING.md says where.")
    return changed
