"""What the console asks before a transfer, word for word."""

from __future__ import annotations

from backup.model import JobKind, TransferPlan
from screens.modals.transfer_questions import delete_question, transfer_question


def test_what_cannot_be_stored_or_has_no_bytes_is_counted_and_named() -> None:
    plan = TransferPlan(
        kind=JobKind.UPLOAD, instance="b2", destination="b2:/", files=1, folders=0, size_bytes=3, unstorable=2,
        unstorable_names=("d/a\\b", "d/\x1b"), unstorable_why="B2 takes no backslash", left_out=2, skipped_folders=1,
    )  # fmt: skip
    said = {fact.label: fact.text for fact in transfer_question(plan, "there").facts}
    assert said["names"] == r"2 names that this service cannot hold, and will refuse: d/a\b, d/\x1b"
    assert said["why"] == "B2 takes no backslash"
    assert said["skipped"] == "1 empty folder and 2 documents and shortcuts of the service"
    said = {fact.label: fact.text for fact in delete_question(plan, "there").facts}
    assert said["skipped"] == "1 empty folder and 2 documents and shortcuts of the service"
