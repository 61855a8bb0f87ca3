"""Names that would control a terminal, forge a line or break an encoding are escaped by every verb, and raw in JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.cli.diagnostics import ExitCode
from backup.system.paths import Paths
from tests.cli.conftest import Cli, Result, write_config
from tests.processes import stop_worker

HOSTILE = {
    "escape": "\x1b[31m\x1b]52;c;cm0gLXJm\x07\x9b2J.txt",
    "rtl": "a\u202egpj\u2066.exe",
    "newline": "a\nerror: forged\rforged",
    "long": "\u00e4" * 127,
    "bytes": "caf\udce9.txt",
    "markup": "[bold]x[@click=quit] %s {0} 'a' \"b\"",
}


@pytest.fixture(params=HOSTILE)
def name(request: pytest.FixtureRequest) -> str:
    return HOSTILE[request.param]


def tame(result: Result) -> None:
    """The output contains only text, and no name forges a line."""
    for text in (result.out, result.err):
        assert all(character.isprintable() for character in text.replace("\n", "")), repr(text)
        text.encode()
        assert not any(line.startswith(("error: forged", "forged")) for line in text.splitlines()), text
    assert "internal error" not in result.err, result.err


@pytest.fixture
def worker(paths: Paths) -> Iterator[None]:
    yield
    assert stop_worker(paths)


@pytest.mark.usefixtures("worker")
def test_names_of_files(cli: Cli, tmp_path: Path) -> None:
    names, back, folder = list(HOSTILE.values()), str(tmp_path / "back"), tmp_path / "folder"
    for name in names:
        (tmp_path / name).write_bytes(b"content")
        (folder / name).mkdir(parents=True)
        (folder / name / "inside").symlink_to(name)
        (folder / name / name).write_bytes(b"x")
    here = [str(tmp_path / name) for name in names]
    done = [
        cli("upload", *here, str(folder)), cli("upload", *here, "--if-exists", "refuse"),
        cli("download", *names, "--to", back), cli("download", *names, "--to", back, "--if-exists", "refuse"),
        cli("download", "folder/", "--to", str(tmp_path / f"{names[0]} to")),
    ]  # fmt: skip
    assert [result.code for result in done] == [0, ExitCode.CONFLICT, 0, ExitCode.CONFLICT, 0], done
    listed = cli("list", "--json").json()["files"]
    assert set(names) <= {file.get("name") for file in listed}
    assert set(names) <= {item["name"] for item in cli("transfers", "list", "--json").json()["items"]}
    done += [cli("transfers"), cli("transfers", "list"), cli("status"), cli("list"), cli("list", "--recursive")]
    done += [cli("list", each) for name in names for each in (name, f"{name}/", f"folder/{name}")]
    done += [cli("delete", "--dry-run", *names), cli("delete", "--yes", *names), cli("delete", "--yes", "folder")]
    for result in done:
        tame(result)


@pytest.mark.few(2)
def test_names_of_refused_files(cli: Cli, tmp_path: Path, name: str) -> None:
    here, back = tmp_path / name, str(tmp_path / "back")
    here.write_bytes(b"content")
    failed = [
        cli("upload", str(tmp_path / f"gone {name}")), cli("upload", f"{here}/"), cli("upload", f"{here}{'x' * 300}"),
        cli("upload", str(tmp_path), "--exclude", f"{name}["), cli("upload", str(here), "--to", f"../{name}/"),
        cli("download", f"gone {name}", "--to", back), cli("download", f"gone {name}/", "--to", back),
        cli("delete", "--yes", f"gone {name}"), cli("delete", "--yes", f"gone {name}/"),
        cli("upload", str(tmp_path), "--exclude-from", str(tmp_path / f"gone {name}")),
        cli("credentials", "import", "earlier", str(here)),
    ]  # fmt: skip
    assert all(result.code for result in failed), [result for result in failed if not result.code]
    for result in failed:
        tame(result)


def test_names_of_unfinished_uploads(cli: Cli, paths: Paths, name: str) -> None:
    folder = paths.local_storage / name
    folder.mkdir(parents=True)
    left = folder / ".homeserver-backup-0123456789abcdef-0123456789a-0123456789abcdef-0.partial"
    left.write_bytes(b"123")
    (found,) = cli("unfinished", "list", "--json").json()["unfinished"]
    assert found["key"] == os.path.relpath(left, paths.local_storage)
    for result in (cli("unfinished"), cli("unfinished", "remove", found["key"], "--yes")):
        assert result.code == 0
        tame(result)
    assert not left.exists()


@pytest.mark.few(2)
def test_names_of_providers_and_typed_text(cli: Cli, paths: Paths, tmp_path: Path, name: str) -> None:
    name = name.encode("utf-8", "backslashreplace").decode()  # a JSON file cannot contain other bytes
    instance: dict[str, Any] = {"type": "local", "enabled": True, "container": str(tmp_path / f"gone {name}")}
    write_config(paths, **{name: instance, "off": {**instance, "enabled": False}, f"{name} 2": {"type": name}})
    done = [
        cli("list-providers"), cli("status"), cli("doctor"), cli("test-providers"), cli("test-providers", name),
        cli("list", "--provider", name), cli("unfinished", "list", "--provider", name), cli("get-config", name),
        cli("get-config", "off", "container"), cli("set-config", name, "max_retries", name),
        cli("set-config", "default_provider", name), cli("enable-provider", name), cli("disable-provider", name),
        cli("enable-provider", f"no {name}"), cli("list", "--provider", f"no {name}"), cli("remove-credentials", name),
        cli(name), cli(f"--{name}"), cli("list", f"--{name}"), cli("status", name), cli("upload", "--if-exists", name),
        cli("upload", "a", "--if-exists", name), cli("list", "--max", name), cli("transfers", name),
        cli("transfers", "pause", name), cli("unfinished", "remove", "--older-than", name), cli("new-provider", name),
        cli("set-credentials", f"no {name}", "--username", name, stdin="x"), cli("authorize", f"no {name}"),
        cli("upload", str(tmp_path), "--exclude", f"{{{name}"),
    ]  # fmt: skip
    for result in done:
        tame(result)
    assert name in {each["name"] for each in cli("list-providers", "--json").json()["instances"]}
