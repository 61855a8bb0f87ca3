"""The lock files: every package is pinned with hashes, no index is named, and the two agree."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.packaging.test_pythons import said_to_be_tested

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-test.lock")


def entries(name: str) -> list[str]:
    """One string per package, with continuation lines joined."""
    joined = (ROOT / name).read_text().replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def pins(name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for entry in entries(name):
        package, _, version = entry.split()[0].partition("==")
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_hashes(name: str):
    assert len(entries(name)) > 10
    for entry in entries(name):
        assert re.match(r"^[a-z0-9-]+(\[[a-z0-9,-]+\])?==[^\s;]+ ", entry), entry[:60]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:60]


@pytest.mark.parametrize("name", LOCKS)
def test_no_index_no_host_and_no_path_is_named(name: str):
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)", text, re.MULTILINE)
    assert not re.search(r"(^|\s|@)\.{0,2}/\w", text)


def test_the_test_lock_installs_on_top():
    run, test = pins("requirements.lock"), pins("requirements-test.lock")
    assert run.items() <= test.items()


def test_the_requirements_of_the_project_are_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [re.match(r"[A-Za-z0-9-]+", item) for item in project["project"]["dependencies"]]
    names = {found.group().lower() for found in asked if found}
    assert names <= pins("requirements.lock").keys()
    assert "pytest" in pins("requirements-test.lock")
    assert "pytest" not in pins("requirements.lock")


def environment(python: str, system: str) -> dict[str, str]:
    """The variables of environment markers for CPython on a common machine."""
    machine, name = ("x86_64", "Linux") if system == "linux" else ("arm64", "Darwin")
    return {
        "implementation_name": "cpython", "implementation_version": f"{python}.0", "os_name": "posix",
        "platform_machine": machine, "platform_python_implementation": "CPython", "platform_system": name,
        "python_full_version": f"{python}.0", "python_version": python, "sys_platform": system,
    }  # fmt: skip


def needed(required: Requirement, where: dict[str, str], extras: Iterable[str] = ()) -> bool:
    return required.marker is None or any(required.marker.evaluate({**where, "extra": e}) for e in {"", *extras})


def asked_for(name: str) -> list[Requirement]:
    """What the project itself requires, and for the test lock what its tests do."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tests = project["dependency-groups"]["test"] if name == "requirements-test.lock" else []
    return [Requirement(item) for item in (*project["project"]["dependencies"], *tests)]


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("python", said_to_be_tested())
@pytest.mark.parametrize("name", LOCKS)
def test_each_tested_python_gets_every_package_that_is_needed(name: str, python: str, system: str):
    where = environment(python, system)
    locked = [Requirement(entry.partition("--hash")[0]) for entry in entries(name)]
    chosen = {canonicalize_name(each.name): each.specifier for each in locked if needed(each, where)}
    pending, seen = [(each, "the project") for each in asked_for(name) if needed(each, where)], set()
    while pending:
        required, by = pending.pop()
        package = canonicalize_name(required.name)
        assert package in chosen, f"{package}, which {by} needs, is not locked for Python {python}"
        (pin,) = chosen[package]
        assert required.specifier.contains(pin.version, prereleases=True), f"{package} {pin.version} is wrong for {by}"
        if (package, *sorted(required.extras)) in seen:
            continue
        seen.add((package, *sorted(required.extras)))
        with contextlib.suppress(metadata.PackageNotFoundError):  # it belongs to another Python or system
            found = metadata.distribution(package)
            assert SpecifierSet(str(found.metadata.json.get("requires_python", ""))).contains(f"{python}.0"), package
            more = map(Requirement, found.requires or ())
            pending += [(each, package) for each in more if needed(each, where, required.extras)]
    assert len(seen) > 10


@pytest.mark.parametrize("name", LOCKS)
def test_packages_with_machine_code_are_locked_with_a_wheel_for_each_tested_python(name: str):
    """Counted, since a lock names no files: one each for Linux on two processors and macOS, and the source."""
    compiled: list[str] = []
    for entry in entries(name):
        package = re.split(r"[=\[]", entry)[0]
        with contextlib.suppress(metadata.PackageNotFoundError):
            tags = re.findall(r"^Tag: (\S+)", metadata.distribution(package).read_text("WHEEL") or "", re.MULTILINE)
            own = [tag for tag in tags if re.match(r"cp\d+-cp\d+-", tag)]
            compiled += [package] if own else []
            assert not own or entry.count("--hash=") >= 3 * len(said_to_be_tested()) + 1, package
    assert "msgspec" in compiled
