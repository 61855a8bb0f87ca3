"""The questions that the console asks before it queues or cancels something, made from what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from backup.model import Conflicts, ItemView, JobKind, Links, TransferPlan
from screens.modals.confirm import Choice, Fact, Question
from tui.text import count, safe, size
from tui.theme import Tone


class Wanted(NamedTuple):
    """How a transfer is to be done."""

    conflicts: Conflicts
    links: Links = Links.SKIP
    """Of a download: STORE makes links of what is stored as such."""
    owner: bool = False
    """A download restores owners, groups and special bits too."""


def transfer_question(plan: TransferPlan, destination: str) -> Question[Wanted]:
    """`destination` must have passed `safe`."""
    verb = "Upload" if plan.kind is JobKind.UPLOAD else "Download"
    facts = [Fact("what", _amount(plan), Tone.STRONG), Fact("to", destination), *_warnings(plan)]
    choices = [Choice(f"{verb}, replace" if plan.replaces else verb, Wanted(Conflicts.REPLACE))]
    if plan.replaces:
        facts.append(Fact("replaces", _replaced(plan), Tone.WAITING))
        choices.append(Choice("Skip unchanged", Wanted(Conflicts.SKIP_UNCHANGED)))
    else:
        facts.append(Fact("replaces", "nothing that is there now", Tone.MUTED))
    if plan.kind is JobKind.UPLOAD and plan.skipped_symlinks:
        choices.append(Choice("Store links", Wanted(Conflicts.REPLACE, links=Links.STORE), key="l"))
        choices.append(Choice("Follow links", Wanted(Conflicts.REPLACE, links=Links.FOLLOW), key="f"))
    if plan.kind is JobKind.DOWNLOAD and plan.links:
        facts.append(Fact("links", f"{count(plan.links, 'file')} stand for symbolic links", Tone.MUTED))
        choices.append(Choice("Make links", Wanted(Conflicts.REPLACE, links=Links.STORE), key="l"))
    if plan.owned or plan.perhaps_owned:
        choices.append(Choice("With owners", Wanted(Conflicts.REPLACE, owner=True), key="o"))
    return Question(f"{verb} to {destination}" if len(destination) < 40 else verb, facts, choices)


def delete_question(plan: TransferPlan, source: str) -> Question[bool]:
    facts = [Fact("what", _amount(plan), Tone.STRONG), Fact("from", source), *_warnings(plan)]
    if plan.deletion:
        tone = Tone.FAILED if plan.deletion.for_good else Tone.WAITING
        facts.append(Fact("after that", safe(plan.deletion.words), tone))
    return Question("Delete at the service", facts, [Choice("Delete", True)], danger=True)


def cancel_question(items: Sequence[ItemView], chosen: int) -> Question[bool]:
    """`items` are those of the `chosen` ones that are at hand and not finished."""
    moved = sum(item.bytes_done for item in items)
    what = safe(items[0].name) if chosen == 1 else f"{count(chosen, 'transfer')}, as far as they are not finished"
    facts = [
        Fact("what", what, Tone.STRONG),
        Fact("given up", f"{size(moved)} already moved; unfinished parts are removed at the service", Tone.WAITING),
        Fact("kept", "your files, what was there before, and all that is finished; r begins anew"),
        Fact("instead", "p pauses and keeps every part that was sent", Tone.MUTED),
    ]
    title, keep = ("Cancel this transfer?", "Let it go on") if chosen == 1 else ("Cancel them?", "Let them go on")
    return Question(title, facts, [Choice("Cancel it" if chosen == 1 else "Cancel them", True)], keep=keep, danger=True)


def _amount(plan: TransferPlan) -> str:
    noun = "object" if plan.kind is JobKind.DELETE else "file"
    least = "" if plan.complete else "at least "
    join = "and" if plan.removes_folders else "in"
    folders = f" {join} {count(plan.folders, 'folder')}" if plan.folders else ""
    return f"{least}{count(plan.files, noun)}{folders} · {size(plan.size_bytes)}"


def _warnings(plan: TransferPlan) -> list[Fact]:
    facts = []
    if not plan.complete:
        facts.append(Fact("counting", "cut off: there is more than that, and all of it is taken", Tone.WAITING))
    skipped = [
        count(number, *words)
        for number, *words in (
            (plan.skipped_symlinks, "symbolic link"),
            (plan.skipped_special, "special file"),
            (plan.skipped_folders, "empty folder"),
            (plan.ruled_out, "entry left out by your rules", "entries left out by your rules"),
            (plan.left_out, "document or shortcut of the service", "documents and shortcuts of the service"),
        )
        if number
    ]
    if skipped:
        facts.append(Fact("skipped", " and ".join(skipped), Tone.WAITING))
    if plan.lacks_room and plan.free_bytes is not None:
        missing = size(plan.needs_bytes - plan.free_bytes)
        words = f"they need {size(plan.needs_bytes)} there, {missing} more than is free: nothing will begin"
        facts.append(Fact("no room", words, Tone.FAILED))
    if plan.unstorable:
        names = ", ".join(safe(name) for name in plan.unstorable_names[:3]) + (", …" if plan.unstorable > 3 else "")
        words = f"{count(plan.unstorable, 'name')} that this service cannot hold, and will refuse: {names}"
        facts.append(Fact("names", words, Tone.WAITING))
        facts.append(Fact("why", safe(plan.unstorable_why), Tone.MUTED))
    if plan.modes_lost:
        words = f"mode or owner of {plan.modes_lost:,} of them: this service has no room for it"
        facts.append(Fact("lost", words, Tone.WAITING))
    if plan.owned and not plan.restores_owner:
        words = f"owner, group or special bits of {plan.owned:,} of them; o restores these"
        facts.append(Fact("left aside", words, Tone.WAITING))
    if plan.ignored_metadata:
        words = f"{count(plan.ignored_metadata, 'stored value')} that is no mode, owner or group"
        facts.append(Fact("ignored", words, Tone.WAITING))
    if plan.clashes:
        names = ", ".join(safe(name) for name in plan.clashing_names[:3]) + (", …" if plan.clashes > 3 else "")
        words = f"{count(plan.clashes, 'name')} differ only in case, and will be refused: {names}"
        facts.append(Fact("refused", words, Tone.WAITING))
    if plan.unreadable:
        facts.append(Fact("unreadable", f"{count(plan.unreadable, 'entry', 'entries')}: they will fail", Tone.WAITING))
    return facts


def _replaced(plan: TransferPlan) -> str:
    names = ", ".join(safe(name) for name in plan.replaced_names[:3])
    more = f" and {plan.replaces - min(3, len(plan.replaced_names)):,} more" if plan.replaces > 3 else ""
    return f"{count(plan.replaces, 'of them', 'of them')}: {names}{more}" if names else f"{plan.replaces:,} of them"
