"""Every mode and dialogue at 80x24 and 140x42: the frame is complete, boxes are closed, nothing overflows."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup.model.transfers import ItemKind, ItemState, LocalEntry
from providers.contract.capabilities import Proof
from providers.contract.report import ErrorInfo, StepName
from tests.tui.scripted import ScriptedCore, ScriptedQuestions, failed
from tests.tui.standin import console, instance, item, screen_text, until
from tests.tui.test_trouble_real import TROUBLE
from tui.text import cell_len

SIZES = [(80, 24), (140, 42)]
LONG = "a-name-that-is-much-longer-than-any-column-of-any-terminal-" * 3 + "end.tar.zst"
SHA = "9f3c81" + "0" * 56 + "e1"
MODES = {"1": "LAST CHECK", "2": "end.tar.zst", "3": "tar.zst", "4": "ENDED", "5": "Bandwidth"}
"""For each key, a word that the mode shows once it is loaded."""
DIALOGUES = {
    "browse: keys": ("2", "question_mark"),
    "browse: instances": ("2", "i"),
    "browse: upload": ("2", "end", "u"),
    "transfers: keys": ("3", "question_mark"),
    "transfers: item": ("3", "end", "enter"),
    "transfers: limit": ("3", "b"),
    "transfers: cancel": ("3", "home", "x"),
    "providers: form": ("1", "home", "down", "enter"),
    "providers: services": ("1", "s"),
    "providers: remove": ("1", "home", "down", "delete"),
    "providers: unfinished": ("1", "home", "down", "f"),
    "providers: credentials": ("1", "home", "down", "c"),
}


def full() -> tuple[ScriptedCore, ScriptedQuestions]:
    """One of everything, with names that do not fit."""
    core, questions = ScriptedCore(), ScriptedQuestions(failed(StepName.CONTAINER, _error()))
    core.known_instances += [
        instance(f"a-second-s3-with-a-long-name-{number}", type="aws_s3", title="AWS S3", container=LONG)
        for number in range(9)
    ]
    names = [LONG, "[bold]x[/].txt", "\x1b[2Jevil\nname", "\u202egnp.exe", "日本語の名前" * 20, "plain.txt"]
    entries = [LocalEntry(name=name, kind=ItemKind.FILE, size_bytes=10**9, modified_at=1.7e9) for name in names]
    core.folders[str(Path.home())] = entries
    core.default = "aws_s3"
    questions.objects["aws_s3"] = dict.fromkeys(names, 10**9)
    states = [state for state in ItemState for _ in range(5)]
    core.items = [
        item(
            number, state, name=LONG, local_path=f"/srv/{LONG}", key=f"backups/{LONG}", size_bytes=10**9,
            bytes_done=10**8, error=_error(), proof=Proof.MATCHED if state is ItemState.DONE else None, sha256=SHA,
        )
        for number, state in enumerate(states)
    ]  # fmt: skip
    return core, questions


def _error() -> ErrorInfo:
    words = TROUBLE["wrong_bucket"]
    return ErrorInfo("not_found", words.why, f"Check the name, or {words.fix}.", "NoSuchBucket")


def check_frame(screen: str, size: tuple[int, int], *, scrolls: bool = False) -> None:
    """Title, modes, strip and keys are on their lines, uncut; boxes are closed, except the last one if `scrolls`."""
    lines = screen.split("\n")
    assert len(lines) == size[1]
    assert all(cell_len(line) <= size[0] for line in lines)
    assert lines[0].lstrip().startswith("◆ homeserver-backup")
    assert lines[0].endswith("services ready")
    assert lines[1].split() == ["1", "Providers", "2", "Browse", "3", "Transfers", "4", "Activity", "5", "Settings"]
    assert lines[-2].strip()
    assert lines[-1].rstrip().endswith("? keys")
    assert not any("…" in lines[number] for number in (0, 1, -2, -1))
    for line in lines[2:-2]:
        assert line.count("╭") == line.count("╮"), line
        assert line.count("╰") == line.count("╯"), line
        assert line.count("│") % 2 == 0, line
    assert scrolls or screen.count("╭") == screen.count("╰"), screen


@pytest.mark.parametrize("size", SIZES)
async def test_every_mode_fits(size: tuple[int, int]) -> None:
    core, questions = full()
    app = console(core, questions)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "plain.txt" in screen_text(app) and "services ready" in screen_text(app))
        for key, word in MODES.items():
            await pilot.press(key)
            await until(pilot, lambda word=word: word in screen_text(app), timeout_s=10)  # type: ignore[misc]
            check_frame(screen_text(app), size, scrolls=key == "5")
        await pilot.press("1", "home", "down", "t")
        await until(pilot, lambda: "✖ The bucket does not exist" in screen_text(app), timeout_s=10)
        check_frame(screen_text(app), size)
        assert "create the bucket" in " ".join(screen_text(app).replace("│", " ").split())


@pytest.mark.parametrize("size", SIZES)
async def test_every_dialogue_fits(size: tuple[int, int]) -> None:
    core, questions = full()
    app = console(core, questions)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "plain.txt" in screen_text(app) and "services ready" in screen_text(app))
        for name, keys in DIALOGUES.items():
            await pilot.press(*keys)
            await until(pilot, lambda: len(app.screen_stack) > 1, timeout_s=10)
            await until(pilot, lambda: bool(app.screen.query(".dialog").first().region.height), timeout_s=10)
            await pilot.pause()
            box = app.screen.query(".dialog").first().region
            assert app.screen.region.contains_region(box), name
            top, bottom = (screen_text(app).split("\n")[row] for row in (box.y, box.bottom - 1))
            assert top[box.x] + bottom[box.x] == "╭╰", f"{name}\n{screen_text(app)}"
            for focusable in app.screen.focus_chain:
                assert box.contains(focusable.region.x, focusable.region.y) or focusable.parent.max_scroll_y, name  # type: ignore[union-attr]
            while len(app.screen_stack) > 1:
                await pilot.press("escape")
                await pilot.pause()
