"""The exact texts of the question before a transfer."""

from __future__ import annotations

from backup.model.transfers import JobKind, TransferPlan
from screens.modals.transfer_questions import TransferWish, delete_question, transfer_question


def test_names_that_cannot_be_stored_and_entries_without_content_are_counted_and_named() -> None:
    plan = TransferPlan(
        kind=JobKind.UPLOAD, instance="b2", destination="b2:/", files=1, folders=0, size_bytes=3, unstorable=2,
        unstorable_names=("d/a\\b", "d/\x1b"), unstorable_why="B2 takes no backslash", left_out=2, skipped_folders=1,
    )  # fmt: skip
    facts = {fact.label: fact.text for fact in transfer_question(plan, "there").facts}
    assert facts["names"] == r"2 names that this service cannot store, and will refuse: d/a\b, d/\x1b"
    assert facts["why"] == "B2 takes no backslash"
    assert facts["skipped"] == "1 empty folder and 2 entries without content"
    facts = {fact.label: fact.text for fact in delete_question(plan, "there").facts}
    assert facts["skipped"] == "1 empty folder and 2 entries without content"


def test_refused_names_and_rules_are_counted_and_named() -> None:
    names = ("d/[b]", "d/\u202e", *"cdefghij")
    plan = TransferPlan(
        kind=JobKind.UPLOAD, instance="b2", destination="b2:/", files=9, folders=1, size_bytes=3, refuses=50,
        refused_names=names, clashes=12, clashing_names=names, left_out=3, left_out_names=names[:3], ruled_out=1,
        unreadable=2, unreadable_names=("e", "f\n"), unreadable_why="e: Permission\x1b denied",
        skipped_symlinks=1, skipped_special=2, replaces=11, replaced_names=names,
    )  # fmt: skip
    few = r"d/[b], d/\u202e, c"
    facts = [
        (fact.label, fact.text) for fact in transfer_question(plan, "there", TransferWish(include=("*.\x1b",))).facts
    ]
    for expected in (
        ("refused", f"50 of them, because something is there already: {few} and 47 more"),
        ("refused", f"12 names differ only in case, and will be refused: {few} and 9 more"),
        ("replaces", f"11 of them: {few} and 8 more"),
        ("unreadable", r"2 entries, and will fail: e, f\n"),
        ("why", r"e: Permission\x1b denied"),
        ("only", r"*.\x1b"),
    ):
        assert expected in facts
    skipped = "1 symbolic link and 2 special files and 1 entry left out by your rules and 3 entries without content"
    assert ("skipped", f"{skipped}: {few}") in facts


def test_names_that_the_local_disk_cannot_store_are_counted_and_named() -> None:
    plan = TransferPlan(
        kind=JobKind.DOWNLOAD, instance="b2", destination="/srv", files=1, folders=0, size_bytes=3, unstorable=2,
        unstorable_names=("d//x", "d/\x1b"), unstorable_why="'d//x': no file below the chosen folder can be so called",
    )  # fmt: skip
    facts = {fact.label: fact.text for fact in transfer_question(plan, "/srv").facts}
    assert facts["names"] == r"2 names that this disk cannot store, and that will fail: d//x, d/\x1b"
    assert facts["why"] == plan.unstorable_why
