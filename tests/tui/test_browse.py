"""The mode Browse: two panes, and questions before any transfer."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual import events

from backup.model.instances import InstanceState
from backup.model.transfers import Conflicts, ItemKind, ItemState, JobKind, Links, LocalEntry, Selection
from providers.contract.capabilities import Deletion
from providers.errors import (
    Authentication,
    InvalidConfiguration,
    NotFound,
    PermissionDenied,
    ProviderError,
    Transient,
)
from screens.browse import BrowseScreen
from screens.modals.confirm import ConfirmScreen
from tests.tui.standin import StandInCore, StandInQuestions, console, instance, job, screen_text, until
from tui.app import BackupConsole
from tui.remedies import advice

SMALL, LARGE = (80, 24), (140, 42)


def file(name: str, size_bytes: int = 1000, kind: ItemKind = ItemKind.FILE) -> LocalEntry:
    return LocalEntry(name=name, kind=kind, size_bytes=size_bytes, modified_at=1.7e9)


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> StandInCore:
    monkeypatch.setenv("HOME", "/home/me")
    core = StandInCore()
    core.folders["/home/me"] = [
        file("notes.md"),
        file("photos", kind=ItemKind.DIRECTORY),
        file("etc.tar", 5_000_000),
        file("current", kind=ItemKind.SYMLINK),
    ]
    core.folders["/home/me/photos"] = [file("a.jpg"), file("b.jpg")]
    return core


@pytest.fixture
def questions() -> StandInQuestions:
    questions = StandInQuestions()
    questions.objects["aws_s3"] = {"db.sql": 4096, "2026/one": 1, "2026/11/two": 2}
    return questions


def panes(app: BackupConsole) -> BrowseScreen:
    screen = app.screen_stack[0]
    assert isinstance(screen, BrowseScreen)
    return screen


async def ready(pilot: Any, app: BackupConsole) -> BrowseScreen:
    """Wait until both panes have loaded their first page."""
    await until(pilot, lambda: isinstance(app.screen, BrowseScreen))
    screen = panes(app)
    await until(pilot, lambda: bool(screen.local.listing.entries) and screen.remote.border_subtitle == "2 entries")
    return screen


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_both_panes_list_folders_first(
    core: StandInCore, questions: StandInQuestions, size: tuple[int, int]
) -> None:
    app = console(core, questions)
    async with app.run_test(size=size) as pilot:
        screen = await ready(pilot, app)
        assert [entry.name for entry in screen.local.listing.view] == ["photos/", "current", "etc.tar", "notes.md"]
        text = screen_text(app)
        for words in ("this machine  /home/me", "aws_s3  homeserver", "photos/", "2026/", "4.77 MiB", "4.00 KiB"):
            assert words in text
        assert ("MODIFIED" in text) is (size is LARGE)
        assert all(len(line) <= size[0] for line in text.splitlines())


@pytest.mark.parametrize(("tabs", "left"), [(1, False), (2, True), (3, False)])
async def test_each_of_several_tabs_in_one_read_changes_the_pane(
    tabs: int, left: bool, core: StandInCore, questions: StandInQuestions
) -> None:
    app = console(core, questions)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await until(pilot, lambda: screen.local.has_focus_within)
        for _ in range(tabs):
            app.post_message(events.Key("tab", None))
        await until(pilot, lambda: not app._typed_ahead and screen.local.has_focus_within is left)
        await pilot.pause()
        assert screen.local.has_focus_within is left


async def test_enter_opens_a_folder_and_backspace_returns_to_its_entry(
    core: StandInCore, questions: StandInQuestions
) -> None:
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "aws_s3  homeserver / 2026" in screen_text(app))
        await until(pilot, lambda: [entry.name for entry in screen.remote.listing.view] == ["11/", "one"])
        await pilot.press("backspace")
        await until(pilot, lambda: [entry.name for entry in screen.remote.listing.view] == ["2026/", "db.sql"])
        await pilot.press("tab", "down", "enter")
        await until(pilot, lambda: "this machine  /home/me/photos" in screen_text(app))
        await pilot.press("home", "enter")
        await until(pilot, lambda: screen.local.listing.entry(screen.local.table.cursor) is not None)
        entry = screen.local.listing.entry(screen.local.table.cursor)
        assert entry is not None
        assert entry.name == "photos/"


async def test_an_upload_says_what_it_will_do_and_enter_alone_starts_nothing(
    core: StandInCore, questions: StandInQuestions
) -> None:
    questions.plan = msgspec.structs.replace(
        questions.plan, files=2, folders=1, size_bytes=5_001_000, replaces=1, replaced_names=("notes.md",),
        skipped_symlinks=3, complete=False,
    )  # fmt: skip
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await ready(pilot, app)
        await pilot.press("end", "space", "up", "space", "u")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert questions.calls[-1] == ("plan_upload", "aws_s3", ["/home/me/notes.md", "/home/me/etc.tar"], "")
        text = screen_text(app)
        assert "at least 2 files in 1 folder · 4.77 MiB" in text
        for words in ("aws_s3 · homeserver", "3 symbolic links", "1 of them"):
            assert words in text
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert core.calls == []


async def test_an_upload_starts_when_it_is_confirmed(core: StandInCore, questions: StandInQuestions) -> None:
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: len(screen.remote.listing.view) == 2 and "2026" in screen_text(app))
        await pilot.press("tab", "end", "u")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: bool(core.calls))
        assert core.calls == [("upload", "aws_s3", ["/home/me/notes.md"], "2026/", Conflicts.REPLACE)]


def asks(app: BackupConsole, *words: str) -> bool:
    """Whether the screen shows a question with these words."""
    text = " ".join(screen_text(app).split())
    return isinstance(app.screen, ConfirmScreen) and all(word in text for word in words)


ANSWERS: list[tuple[str, str, dict[str, Any], tuple[str, ...], tuple[Any, ...]]] = [
    ("u", "s", {"replaces": 1}, ("Upload, replace y", "1 of them with another size", "Replace all s"),
     (Conflicts.SKIP_UNCHANGED,)),
    ("u", "l", {"links": 3}, ("3 symbolic links among them, stored as such", "Skip links l", "Follow links f"),
     (Conflicts.REPLACE, Selection(links=Links.STORE))),
    ("u", "f", {"skipped_symlinks": 1}, ("1 symbolic link", "Store links l", "Skip links f"),
     (Conflicts.REPLACE, Selection(links=Links.FOLLOW))),
    ("d", "s", {}, ("replaces nothing with another size", "Download y", "Replace all s"), (Conflicts.SKIP_UNCHANGED,)),
    ("d", "l", {"links": 4}, ("4 symbolic links among them, restored as links", "Make files l"),
     (Conflicts.REPLACE, "links")),
    ("d", "o", {"owned": 5, "restores_owner": True}, ("special bits of 5 of them", "Without owners o"),
     (Conflicts.REPLACE, "owner")),
]  # fmt: skip


@pytest.mark.few(2)
@pytest.mark.parametrize(("verb", "key", "then", "words", "answers"), ANSWERS)
async def test_a_changed_answer_is_counted_again_before_it_can_start(
    core: StandInCore,
    questions: StandInQuestions,
    verb: str,
    key: str,
    then: dict[str, Any],
    words: tuple[str, ...],
    answers: tuple[Any, ...],
) -> None:
    first = msgspec.structs.replace(
        questions.plan, files=9, replaces=7, skipped_symlinks=3, links=2, perhaps_owned=True, found="first"
    )
    second = msgspec.structs.replace(questions.plan, files=2, found="second", **then)
    questions.plans = [first, second]
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await ready(pilot, app)
        await pilot.press(*(["end"] if verb == "u" else ["tab", "space", "space"]), verb)
        await until(pilot, lambda: asks(app, "9 files", "7 of them"))
        await pilot.press(key)
        await until(pilot, lambda: asks(app, "2 files", *words))
        assert core.calls == []
        await pilot.press("y")
        await until(pilot, lambda: bool(core.calls))
    assert questions.counted_with == [(Conflicts.REPLACE,), answers]
    assert core.calls[0][0] == {"u": "upload", "d": "download"}[verb]
    assert core.calls[0][-len(answers) :] == answers
    assert core.plan is not None
    assert core.plan.found == "second"


async def test_an_answer_keeps_earlier_ones_and_can_be_undone(core: StandInCore, questions: StandInQuestions) -> None:
    questions.plan = msgspec.structs.replace(questions.plan, replaces=1, skipped_symlinks=3)
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await ready(pilot, app)
        await pilot.press("end", "u")
        await until(pilot, lambda: asks(app, "Skip unchanged s", "Store links l", "Follow links f"))
        await pilot.press("s")
        await until(pilot, lambda: asks(app, "Replace all s"))
        await pilot.press("l")
        await until(pilot, lambda: asks(app, "Replace all s", "Skip links l"))
        await pilot.press("l")
        await until(pilot, lambda: asks(app, "Replace all s", "Store links l"))
        await pilot.press("y")
        await until(pilot, lambda: bool(core.calls))
    assert core.calls[0][-1] == Conflicts.SKIP_UNCHANGED


async def test_files_can_be_left_out_of_a_folder(core: StandInCore, questions: StandInQuestions) -> None:
    whole = msgspec.structs.replace(questions.plan, files=9, folders=2)
    less = msgspec.structs.replace(whole, files=4, ruled_out=5)
    questions.plans, questions.plan = [whole, less], msgspec.structs.replace(whole, files=0, folders=0, ruled_out=9)
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await ready(pilot, app)
        await pilot.press("home", "down", "u")
        await until(pilot, lambda: asks(app, "9 files in 2 folders", "Leave out… x"))
        await pilot.press("x")
        await until(pilot, lambda: "Rules for files in folders" in screen_text(app))
        await pilot.press(*"*.tmp, y[", "enter")
        await until(pilot, lambda: "the pattern 'y[' has a '['" in screen_text(app))
        await pilot.press("backspace", "enter")
        await until(pilot, lambda: asks(app, "4 files", "without *.tmp, y", "5 entries left out by your rules"))
        await pilot.press("x", "escape")
        await until(pilot, lambda: asks(app, "4 files"))
        assert len(questions.counted_with) == 2
        await pilot.press("x")
        await until(pilot, lambda: "Rules for files in folders" in screen_text(app))
        await pilot.press("end", "backspace", "backspace", "backspace", *",**", "enter")
        await until(pilot, lambda: asks(app, "without *.tmp, **", "nothing left to upload", "Leave out… x"))
        await pilot.press("y")
        await pilot.pause()
        assert asks(app, "nothing left to upload")
        await pilot.press("x")
        await until(pilot, lambda: "Rules for files in folders" in screen_text(app))
        questions.plan = less
        await pilot.press("end", "backspace", "backspace", "backspace", "tab", *"[", "enter")
        await until(pilot, lambda: "include: the pattern '['" in screen_text(app))
        await pilot.press("backspace", *"*.md", "enter")
        await until(pilot, lambda: asks(app, "4 files", "without *.tmp", "only *.md"))
        assert core.calls == []
        await pilot.press("y")
        await until(pilot, lambda: bool(core.calls))
    assert core.calls[0][-1] == Selection(exclude=("*.tmp",), include=("*.md",))


async def test_single_files_have_no_rules_for_leaving_out(core: StandInCore, questions: StandInQuestions) -> None:
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await ready(pilot, app)
        await pilot.press("end", "u")
        await until(pilot, lambda: asks(app, "1 file", "Upload y"))
        assert "Leave out" not in screen_text(app)


async def test_a_download_without_enough_space_says_so(core: StandInCore, questions: StandInQuestions) -> None:
    questions.plan = msgspec.structs.replace(questions.plan, needs_bytes=5 * 2**30, free_bytes=2**30)
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await ready(pilot, app)
        await pilot.press("tab", "space", "space", "d")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "they need 5.00 GiB there, 4.00 GiB more than is free" in " ".join(screen_text(app).split())


async def test_the_mouse_confirms_too(core: StandInCore, questions: StandInQuestions) -> None:
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await ready(pilot, app)
        await pilot.press("end", "u")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.click("#choice-0")
        await until(pilot, lambda: bool(core.calls))
        assert core.calls[0][0] == "upload"


async def test_a_download_goes_to_the_folder_on_the_left(core: StandInCore, questions: StandInQuestions) -> None:
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await ready(pilot, app)
        await pilot.press("tab", "space", "space", "d")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "/home/me" in screen_text(app)
        await pilot.press("y")
        await until(pilot, lambda: bool(core.calls))
        assert core.calls == [("download", "aws_s3", ["2026/", "db.sql"], "/home/me/", Conflicts.REPLACE)]


async def test_a_delete_is_red_and_only_for_the_service(core: StandInCore, questions: StandInQuestions) -> None:
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await ready(pilot, app)
        await pilot.press("down", "delete")
        await until(pilot, lambda: any("cannot be deleted here" in note.message for note in app._notifications))
        assert not isinstance(app.screen, ConfirmScreen)
        await pilot.press("tab", "end", "delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "gone for good" in screen_text(app)
        assert app.screen.query(".dialog.danger")
        questions.deletion = Deletion(words="hidden: all versions stay", for_good=False)
        await pilot.press("escape", "x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "hidden: all versions stay" in screen_text(app)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: bool(core.calls))
        assert core.calls == [("delete", "aws_s3", ["db.sql"])]


CAUSES: list[tuple[ProviderError, str]] = [
    (Authentication("the server refused the key AKIA1", code="InvalidAccessKeyId"), "The key was not accepted"),
    (PermissionDenied("this key may not list"), "Not allowed"),
    (NotFound("no bucket of that name"), "Not found"),
    (Transient("connection refused: 127.0.0.1:9"), "Not reachable"),
    (InvalidConfiguration("no bucket is set", field="container"), "A setting is missing or wrong"),
]


@pytest.mark.few(2)
@pytest.mark.parametrize(("cause", "words"), CAUSES)
async def test_each_cause_has_its_own_screen_that_stays_until_dismissed(
    core: StandInCore, cause: ProviderError, words: str
) -> None:
    questions = StandInQuestions()
    questions.objects["aws_s3"] = cause
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: words in screen_text(app))
        text = " ".join(screen_text(app).split())
        assert advice(cause).split()[0] in text
        assert "r try again" in text
        assert not any(other in text for _, other in CAUSES if other != words)
        assert "Nothing is stored here yet" not in text
        questions.objects["aws_s3"] = {"back": 1}
        await pilot.press("tab", "r")
        await until(pilot, lambda: "back" in screen_text(app) and words not in screen_text(app))


async def test_an_empty_folder_says_so(core: StandInCore) -> None:
    core.folders["/home/me"] = []
    app = console(core)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "Nothing is stored here yet." in screen_text(app))
        assert "This folder is empty." in screen_text(app)


async def test_an_error_while_queueing_is_shown_in_the_pane(core: StandInCore, questions: StandInQuestions) -> None:
    core.failure = InvalidConfiguration("aws_s3 is not enabled", hint="Enable it after a check.")
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("end", "u")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: "aws_s3 is not enabled" in screen_text(app))
        assert "Enable it after a check." in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: not screen.local.notice.has_class("shown"))


async def test_a_late_answer_is_dropped(core: StandInCore, questions: StandInQuestions) -> None:
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        screen = await ready(pilot, app)
        questions.gate = threading.Event()
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "loading" in screen_text(app))
        await pilot.press("escape", "tab", "down", "enter")
        await until(pilot, lambda: "photos" in str(screen.local.place) and bool(screen.local.listing.entries))
        questions.gate.set()
        await pilot.pause()
        assert screen.remote.listing.entries == []
        await pilot.press("tab", "r")
        await until(pilot, lambda: [entry.name for entry in screen.remote.listing.view] == ["11/", "one"])


async def test_pages_stream_in_as_the_cursor_nears_the_end(core: StandInCore) -> None:
    questions = StandInQuestions()
    questions.objects["aws_s3"] = {f"object-{number:06d}": number for number in range(2500)}
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        screen = panes(app)
        await until(pilot, lambda: "1,000 loaded · ↓ loads more" in screen_text(app))
        await pilot.pause()
        assert len(screen.remote.listing.entries) == 1000
        await pilot.press("tab", "end")
        await until(pilot, lambda: len(screen.remote.listing.entries) == 2000)
        await pilot.press("end")
        await until(pilot, lambda: screen.remote.border_subtitle == "2,500 entries")
        assert len({entry.name for entry in screen.remote.listing.view}) == 2500


async def test_an_incomplete_listing_shows_the_readable_part_and_continues(core: StandInCore) -> None:
    questions = StandInQuestions()
    questions.objects["aws_s3"] = {f"object-{number:06d}": number for number in range(1500)}
    questions.unread = "an entry is damaged"
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        screen = panes(app)
        await until(pilot, lambda: "this listing is incomplete" in " ".join(screen_text(app).split()))
        assert len(screen.remote.listing.entries) == 1000
        questions.unread = ""
        await pilot.press("tab", "end")
        await until(pilot, lambda: screen.remote.border_subtitle == "1,500 entries · incomplete")
        assert "an entry is damaged" not in screen_text(app)


async def test_the_note_about_an_incomplete_listing_can_be_dismissed(core: StandInCore) -> None:
    questions = StandInQuestions()
    questions.objects["aws_s3"] = {"one": 1}
    questions.unread = "an entry is damaged"
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        screen = panes(app)
        await until(pilot, lambda: screen.remote.notice.has_class("shown"))
        await pilot.press("tab", "escape")
        await until(pilot, lambda: not screen.remote.notice.has_class("shown"))
        assert screen.remote.border_subtitle == "1 entry · incomplete"


async def test_a_filter_narrows_the_loaded_entries_and_escape_ends_it(
    core: StandInCore, questions: StandInQuestions
) -> None:
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("slash", *"NOTES")
        await until(pilot, lambda: [entry.name for entry in screen.local.listing.view] == ["notes.md"])
        assert "1 of 4 entries match" in screen_text(app)
        await pilot.press("enter")
        assert screen.local.table.has_focus
        await pilot.press("escape")
        await until(pilot, lambda: len(screen.local.listing.view) == 4)


async def test_go_to_a_folder_and_search_by_prefix_at_the_service(
    core: StandInCore, questions: StandInQuestions
) -> None:
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("g", "end", *"/photos", "enter")
        await until(pilot, lambda: "this machine  /home/me/photos" in screen_text(app))
        await pilot.press("tab", "g", *"2026/on", "enter")
        await until(pilot, lambda: [entry.name for entry in screen.remote.listing.view] == ["one"])
        assert ("list", "aws_s3", "2026/on", None) in questions.calls
        await pilot.press("end", "d")
        await until(pilot, lambda: questions.calls[-1][0] == "plan_download")
        assert questions.calls[-1][2] == ["2026/one"]


async def test_order_changes_and_the_cursor_stays_on_its_entry(core: StandInCore, questions: StandInQuestions) -> None:
    app = console(core, questions)
    async with app.run_test(size=LARGE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("end", "o")
        await until(pilot, lambda: "SIZE ↓" in screen_text(app))
        assert [entry.name for entry in screen.local.listing.view] == ["photos/", "etc.tar", "current", "notes.md"]
        entry = screen.local.listing.entry(screen.local.table.cursor)
        assert entry is not None
        assert entry.name == "notes.md"


HOSTILE = [
    "[/]",
    "[bold red]x[/]",
    "\x1b]52;c;cm0gLXJm\x07.txt",
    "a\u202egpj.exe",
    "new\nline",
    "\udcff\udcfe.bin",
    "\x9b31m",
]


@pytest.mark.few(2)
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_are_shown_escaped_and_used_raw(name: str, core: StandInCore) -> None:
    questions = StandInQuestions()
    questions.objects["aws_s3"] = {name: 1, f"{name}/inside": 1}
    questions.plan = msgspec.structs.replace(questions.plan, replaces=1, replaced_names=(name,), destination=name)
    local_name = name.replace("/", "")
    core.folders["/home/me"] = [file(local_name)]
    app = console(core, questions)
    async with app.run_test(size=LARGE) as pilot:
        screen = panes(app)
        await until(pilot, lambda: bool(screen.local.listing.entries and screen.remote.listing.entries))
        await pilot.press("end", "u")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert all(character.isprintable() for character in screen_text(app).replace("\n", ""))
        await pilot.press("y")
        await until(pilot, lambda: bool(core.calls))
        assert core.calls[0][2] == [str(Path("/home/me") / local_name)]
        await pilot.press("tab", "home", "enter")
        folder = name[: name.find("/") + 1] or f"{name}/"
        await until(pilot, lambda: ("list", "aws_s3", folder, None) in questions.calls)
        await until(pilot, lambda: bool(screen.remote.listing.entries))
        assert all(character.isprintable() for character in screen_text(app).replace("\n", ""))


async def test_another_instance_can_be_chosen(core: StandInCore, questions: StandInQuestions) -> None:
    core.known_instances.append(instance("minio", type="aws_s3", enabled=False, state=InstanceState.DISABLED))
    questions.objects["minio"] = {"in-minio": 1}
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await ready(pilot, app)
        await pilot.press("i")
        await until(pilot, lambda: "Browse which provider?" in screen_text(app))
        assert "disabled" in screen_text(app)
        await pilot.press("down", "enter")
        await until(pilot, lambda: "in-minio" in screen_text(app))


async def test_with_nothing_configured_local_storage_is_ready(core: StandInCore) -> None:
    core.known_instances = [instance("local", container="storage")]
    app = console(core)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "local  storage" in screen_text(app))
        assert app.current_mode == "browse"


async def test_the_pane_reloads_when_a_job_has_finished(core: StandInCore, questions: StandInQuestions) -> None:
    core.jobs = [job(7, counts={ItemState.RUNNING: 1})]
    app = console(core, questions)
    async with app.run_test(size=SMALL) as pilot:
        await ready(pilot, app)
        await until(pilot, lambda: bool(app.bridge.snapshot.jobs))
        questions.objects["aws_s3"] = {"fresh": 1}
        core.jobs = [job(7, counts={ItemState.DONE: 1}, kind=JobKind.UPLOAD)]
        core.changed()
        await until(pilot, lambda: "fresh" in screen_text(app))


async def test_a_hundred_thousand_entries_stay_quick(core: StandInCore) -> None:
    core.folders["/home/me"] = [file(f"file-{number:06d}") for number in range(100_000)]
    app = console(core)
    loop = asyncio.get_running_loop()
    async with app.run_test(size=LARGE) as pilot:
        screen = panes(app)
        await until(pilot, lambda: len(screen.local.listing.view) == 100_000, timeout_s=15)
        await pilot.press("end")
        await until(pilot, lambda: "file-099999" in screen_text(app))
        started = loop.time()
        for key in ("pageup", "home", "pagedown", "down", "space"):
            await pilot.press(key)
        await until(pilot, lambda: "1 selected" in screen_text(app))
        assert loop.time() - started < 3


async def test_a_narrower_terminal_keeps_everything_in_place(core: StandInCore, questions: StandInQuestions) -> None:
    app = console(core, questions)
    async with app.run_test(size=LARGE) as pilot:
        await ready(pilot, app)
        for size in (SMALL, (40, 10), (20, 6), LARGE):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert all(len(line) <= size[0] for line in screen_text(app).splitlines())
        assert "MODIFIED" in screen_text(app)


async def test_keys_typed_ahead_are_text_and_then_keys_again(core: StandInCore, questions: StandInQuestions) -> None:
    """On a slow line, "/notes", Enter and the next keys arrive in one read."""
    app = console(core, questions)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        for key in ("slash", *"notes", "enter", "end"):
            app.simulate_key(key)
        await until(pilot, lambda: screen.local.listing.needle == "notes" and screen.local.table.has_focus)
        assert app.screen is screen
        assert not screen.local.prompt.display
        for key in ("g", "end", *"/xdi", "escape", "tab"):
            app.simulate_key(key)
        await until(pilot, lambda: screen.remote.has_focus_within)
        assert app.screen is screen


async def test_while_typing_the_footer_shows_only_keys_that_work(
    core: StandInCore, questions: StandInQuestions
) -> None:
    app = console(core, questions)
    async with app.run_test(size=LARGE) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("slash")
        await until(pilot, lambda: "cancel" in screen_text(app).splitlines()[-1])
        assert screen_text(app).splitlines()[-1].split() == ["↵", "accept", "esc", "cancel"]
        await pilot.press("u", "3", "escape")
        await until(pilot, lambda: screen.local.table.has_focus and "upload" in screen_text(app))
        assert app.current_mode == "browse"


async def test_without_a_default_provider_none_is_opened():
    core = StandInCore()
    core.known_instances = [instance("local"), instance("aws_s3", enabled=False, state=InstanceState.DISABLED)]
    app = console(core)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "no provider is the default" in screen_text(app))
        assert "Press i to choose one" in screen_text(app)
        core.default = "local"
        app.bridge.instances_changed()
        await until(pilot, lambda: "no provider is the default" not in screen_text(app))
        assert "local" in screen_text(app)
