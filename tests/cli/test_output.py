"""Output: escaped, plain without a terminal, without colour on request."""

from __future__ import annotations

import io
import json
import sys

import pytest

from backup.cli.output import JsonList, Output, dumps
from backup.system.text import safe, size


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain name.txt", "plain name.txt"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\x9b31m", r"a\x9b31m"),
        ("two\nlines\ttab\r", r"two\nlines\ttab\r"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\u2028", r"\u2028"),
        ("raw\udcff", r"raw\xff"),
        ("\x7f", r"\x7f"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("Übergröße 写真 👩‍💻 👨🏽‍🚀", "Übergröße 写真 👩‍💻 👨🏽‍🚀"),
        ("a‍b", r"a\u200db"),
        ("[bold red]x[/]", "[bold red]x[/]"),
    ],
)
def test_safe(raw: str, shown: str):
    assert safe(raw) == shown
    safe(raw).encode("utf-8")


@pytest.mark.parametrize(
    ("count_bytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.98 KiB"), (1023, "1.00 KiB"), (1024, "1.00 KiB"), (10240, "10.0 KiB"),
     (999 * 1024, "999 KiB"), (1_300_000_000, "1.21 GiB")],
)  # fmt: skip
def test_sizes_have_three_digits(count_bytes: int, shown: str):
    assert size(count_bytes) == shown


def test_a_table_on_a_terminal_is_coloured_and_escaped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    Output().table(["NAME", "STATE"], [["evil\x1b]0;t\x07[/]", "failed"]])
    assert r"evil\x1b]0;t\x07[/]" in screen.getvalue()
    assert "\x1b]0;" not in screen.getvalue()
    assert "\x1b[31m" in screen.getvalue()


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    Output().table(["NAME", "STATE"], [["x", "failed"]])
    assert "\x1b[31m" not in screen.getvalue()
    assert "failed" in screen.getvalue()


def test_a_pipe_gets_aligned_plain_text(capsys: pytest.CaptureFixture[str]):
    Output().table(["NAME", "SIZE"], [["a", "1 B"], ["long name", "10 B"]])
    assert capsys.readouterr().out == "NAME       SIZE\na           1 B\nlong name  10 B\n"


def test_with_json_only_the_document_is_written(capsys: pytest.CaptureFixture[str]):
    output = Output(as_json=True)
    output.line("for a person")
    output.table(["A"], [["b"]])
    output.document({"name": "x\udcff"})
    assert json.loads(capsys.readouterr().out) == {"name": "x\udcff"}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_streamed_list_parses(capsys: pytest.CaptureFixture[str], count: int):
    listing = JsonList(Output(as_json=True), "files", {"provider": "p"})
    for number in range(count):
        listing.add({"n": number})
    listing.end({"truncated": False})
    assert json.loads(capsys.readouterr().out) == {
        "provider": "p", "files": [{"n": number} for number in range(count)], "truncated": False,
    }  # fmt: skip


def test_json_is_ascii_for_all_names():
    assert dumps({"n": "é\udcff\u202e"}).isascii()
