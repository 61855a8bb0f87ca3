"""The configuration file as text: read (errors give their line), migrated and written."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from backup.model.credentials import StoreBackend, StoreSettings
from providers.contract.report import ErrorInfo
from providers.errors import shortage

VERSION: Final = 1
_BROKEN_HINT: Final = "Correct it in an editor. Until then nothing is changed, and no storage is used."


class ConfigDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The file's content, migrated to VERSION in memory. With a `problem` it must not be written."""

    path: Path
    tree: dict[str, Any]
    problem: ErrorInfo | None = None
    usable: bool = True
    exists: bool = True


class _Broken(Exception):
    """The problem, with line and column (from 1) if known."""

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line
        self.column = column


def read(path: Path) -> ConfigDocument:
    """Never raises. A missing file is an empty document; an empty file is damaged, since its content was lost."""
    try:
        text = _text(path)
        if text is None:
            return ConfigDocument(path=path, tree={"version": VERSION}, exists=False)
        if not text.strip("\0 \t\r\n\f\v"):
            raise _Broken("is empty")
        tree = _parse(text)
        version = _version(tree, text)
        if version <= VERSION:
            for migrate in MIGRATIONS[version:]:
                tree = migrate(tree)
            tree["version"] = VERSION
            _check_structure(tree, text)
            return ConfigDocument(path=path, tree=tree)
    except _Broken as error:
        return ConfigDocument(path=path, tree={}, problem=_problem(path, error), usable=False)
    return _newer(path, tree, version, text)


def _newer(path: Path, tree: dict[str, Any], version: int, text: str) -> ConfigDocument:
    message = f"{path} was written by a newer version of this program (format {version}, this one knows {VERSION})"
    problem = ErrorInfo("configuration", message, "Update this program. Until then the configuration is read-only.")
    try:
        _check_structure(tree, text)
    except _Broken:
        return ConfigDocument(path=path, tree={}, problem=problem, usable=False)
    return ConfigDocument(path=path, tree=tree, problem=problem)


def write(tree: dict[str, Any]) -> bytes:
    """The text of a document. Names that are not UTF-8 (of a folder, say) are escaped, and read back unchanged."""
    try:
        return (json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(tree, indent=2, allow_nan=False) + "\n").encode()


def _problem(path: Path, error: _Broken) -> ErrorInfo:
    lacking = shortage(error)
    if lacking:  # nothing is wrong with the file
        return ErrorInfo(lacking.kind, f"{path}: {lacking.message}", lacking.hint, lacking.code, lacking.remedies)
    place = str(path)
    if error.line:
        place += f", line {error.line}"
    if error.column:
        place += f", column {error.column}"
    return ErrorInfo("configuration", f"{place}: {error.problem}", _BROKEN_HINT)


def _text(path: Path) -> str | None:
    """None if there is no file. A dangling link is an error: its disk may not be mounted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        if os.path.islink(path):
            raise _Broken("is a link to a file that is not there") from error
        return None
    except OSError as error:
        raise _Broken(f"cannot be read: {error.strerror}") from error
    try:
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _Broken("is not a file")
            data = file.read()
    except OSError as error:
        raise _Broken(f"cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Broken("is not UTF-8 text", data.count(b"\n", 0, error.start) + 1) from error


def _parse(text: str) -> dict[str, Any]:
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                twice.append(key)
            seen[key] = value
        return seen

    try:
        tree = json.loads(text, object_pairs_hook=unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _Broken(error.msg[:1].lower() + error.msg[1:], error.lineno, error.colno) from error
    except RecursionError as error:
        raise _Broken("is nested too deeply") from error
    except ValueError as error:  # Python converts no number of more than 4300 digits
        raise _Broken("holds a number that is too long") from error
    if not isinstance(tree, dict):
        raise _Broken("must be an object: { ... }", 1)
    if twice:
        first = text.find(json.dumps(twice[0]))
        second = text.find(json.dumps(twice[0]), first + 1)
        raise _Broken(f"{twice[0]!r} appears twice in one object", text.count("\n", 0, max(second, 0)) + 1)
    return tree


def _no_constant(name: str) -> NoReturn:
    raise _Broken(f"{name} is not a JSON number")


def _version(tree: dict[str, Any], text: str) -> int:
    version = tree.get("version", 0)
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise _Broken("version: must be a whole number", line_of(text, ["version"]))
    return version


_INDEX: Final[dict[str, dict[str, tuple[type, ...]]]] = {
    "checks": {"at": (int, float), "ok": (bool,), "fingerprint": (str,)},
    "credentials": {"username": (str,), "fields": (list,), "revision": (str,)},
}


def _check_structure(tree: dict[str, Any], text: str) -> None:
    _expect(tree.get("default_provider", ""), str, "the name of a provider", ["default_provider"], text)
    _expect(tree.get("history_days", 90), int, "a number of days", ["history_days"], text)
    _expect(tree.get("local_fallback", True), bool, "true or false", ["local_fallback"], text)
    _check_store(tree.get("credential_store", {}), text)
    for section in ("providers", "checks", "credentials"):
        _expect(tree.get(section, {}), dict, "an object", [section], text)
        for name, entry in tree.get(section, {}).items():
            _expect(entry, dict, "an object", [section, name], text)
    for name, values in tree.get("providers", {}).items():
        _expect(values.get("type", name), str, "text", ["providers", name, "type"], text)
    for section, keys in _INDEX.items():
        for name, entry in tree.get(section, {}).items():
            for key, kinds in keys.items():
                if section == "checks" or key in entry:
                    _expect(entry.get(key), kinds, "as this program wrote it", [section, name, key], text)
            for item in entry.get("fields", []):
                _expect(item, str, "text", [section, name, "fields"], text)


def _check_store(store: object, text: str) -> None:
    try:
        msgspec.convert(store, StoreSettings)
    except msgspec.ValidationError as error:
        key = str(error).rpartition("`$.")[2].rstrip("`")
        names = ", ".join(StoreBackend)
        what = {
            "backend": f"must be one of {names}",
            "left_in": f"must be one of {names}",
            "key_file": "must be a path",
        }.get(key, 'must be a list of words, such as ["pass", "show", "backup"]')
        path = ["credential_store", key.partition("[")[0]] if key else ["credential_store"]
        raise _Broken(f"{'.'.join(path)}: {what if key else 'must be an object'}", line_of(text, path)) from None


def _expect(value: object, kind: type | tuple[type, ...], what: str, path: list[str], text: str) -> None:
    if not isinstance(value, kind):
        raise _Broken(f"{'.'.join(path)}: must be {what}", line_of(text, path))


def line_of(text: str, path: Sequence[str]) -> int:
    """The line (from 1) of the key at `path`, or of the last part that was found; 0 if none was."""
    at = 0
    for key in path:
        found = text.find(json.dumps(key, ensure_ascii=False), at)
        if found >= 0:
            at = found + 1
    return text.count("\n", 0, at) + 1 if at else 0


def _from_0(tree: dict[str, Any]) -> dict[str, Any]:
    """Format 0 had no version, and its instances at the top level, as in the guide's sample."""
    if "providers" in tree:
        return tree
    instances = {key: value for key, value in tree.items() if isinstance(value, dict)}
    rest = {key: value for key, value in tree.items() if key not in instances}
    return {**rest, "providers": instances}


MIGRATIONS: Final[tuple[Callable[[dict[str, Any]], dict[str, Any]], ...]] = (_from_0,)
"""MIGRATIONS[n] turns format n into n + 1; the next change writes it to disk."""
