"""`list`: pages, limits, hostile names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.system.paths import Paths
from providers.contract.objects import Page, RemoteFile
from providers.errors import Transient
from tests.cli.conftest import Cli


@pytest.fixture
def storage(paths: Paths) -> Path:
    folder = paths.local_storage
    (folder / "docs").mkdir(parents=True)
    for name in ("a.txt", "docs/b.txt", "docs/c.txt"):
        (folder / name).write_bytes(b"12345")
    return folder


def test_everything_is_listed_with_size_and_time(cli: Cli, storage: Path):
    result = cli("list")
    assert result.code == 0
    assert [line.split()[-1] for line in result.out.splitlines()] == ["a.txt", "docs/b.txt", "docs/c.txt"]
    assert "5 B" in result.out
    assert "using provider local" in result.err


def test_a_prefix_and_one_level(cli: Cli, storage: Path):
    below = cli("list", "docs/", "--json").json()
    assert [item["name"] for item in below["files"]] == ["docs/b.txt", "docs/c.txt"]
    assert below["truncated"] is False
    level = cli("list", "--folders", "--json").json()
    assert level["files"][1] == {"folder": "docs/"}
    assert level["files"][0]["name"] == "a.txt"


def test_a_limited_listing_says_so(cli: Cli, storage: Path):
    result = cli("list", "--max", "2")
    assert len(result.out.splitlines()) == 2
    assert "there is more" in result.err
    assert cli("list", "--max", "2", "--json").json()["truncated"] is True
    whole = cli("list", "--max", "3", "--json").json()
    assert (len(whole["files"]), whole["truncated"]) == (3, False)
    assert len(cli("list", "--max", "0", "--json").json()["files"]) == 3


def test_an_empty_listing_says_so(cli: Cli):
    result = cli("list")
    assert (result.code, result.out) == (0, "")
    assert "nothing is stored" in result.err


def test_an_impossible_prefix_is_refused_and_a_slash_lists_everything(cli: Cli, storage: Path):
    for prefix in ("/../", "../", "docs/../docs/"):
        result = cli("list", prefix)
        assert result.code == ExitCode.UNSUPPORTED
        assert "cannot list local" in result.err
        assert "fix:" in result.err
    assert cli("list", "/").out == cli("list").out != ""


def test_hostile_names_are_escaped(cli: Cli, storage: Path):
    (storage / "evil\x1b[2J\nname\u202e").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(storage) + b"/raw\xff")).write_bytes(b"")
    shown = cli("list")
    assert r"evil\x1b[2J\nname\u202e" in shown.out
    assert "\x1b" not in shown.out
    names = [item["name"] for item in cli("list", "--json").json()["files"]]
    assert "evil\x1b[2J\nname\u202e" in names


def test_a_failure_midway_is_an_error_in_a_complete_document(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    pages = iter([Page(files=(RemoteFile(key="first", size_bytes=1),), next_token="2")])

    def list_page(*_: object, **__: object) -> Page:
        for page in pages:
            return page
        raise Transient("connection reset")

    monkeypatch.setattr("backup.queries.answers.Questions.ask", list_page)
    result = cli("list", "--json")
    assert result.code == ExitCode.NETWORK
    document = result.json()
    assert [item["name"] for item in document["files"]] == ["first"]
    assert document["truncated"] is True
    assert document["error"]["kind"] == "transient"
    assert "cannot list local" in result.err


def test_the_readable_part_of_a_broken_listing_is_shown_as_incomplete(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    pages = {
        None: Page(files=(RemoteFile(key="first", size_bytes=1),), next_token="2", unread="an entry is damaged"),
        "2": Page(files=(RemoteFile(key="last", size_bytes=1),)),
    }
    monkeypatch.setattr("backup.queries.answers.Questions.ask", lambda _, question: pages[question.token])
    shown = cli("list")
    assert shown.code == ExitCode.INTEGRITY
    assert [line.split()[-1] for line in shown.out.splitlines()] == ["first", "last"]
    assert "this listing is incomplete: an entry is damaged" in shown.err
    assert "nothing that needs the whole listing is done" in " ".join(shown.err.split())
    result = cli("list", "--json")
    assert result.code == ExitCode.INTEGRITY
    document = result.json()
    assert [item["name"] for item in document["files"]] == ["first", "last"]
    assert (document["truncated"], document["error"]["kind"]) == (True, "integrity")
