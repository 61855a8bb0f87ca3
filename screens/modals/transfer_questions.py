"""The questions before a transfer, a deletion or a cancellation, made from a counted plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final, NamedTuple

from backup.model.transfers import Conflicts, ItemView, JobKind, Links, Selection, TransferPlan
from backup.system.text import listed
from screens.modals.confirm import Choice, Fact, Question
from tui.text import count, safe, size
from tui.theme import Tone


class TransferWish(NamedTuple):
    """The user's wishes for a transfer."""

    conflicts: Conflicts = Conflicts.REPLACE
    links: Links = Links.SKIP
    """For a download, STORE restores stored links as links."""
    owner: bool = False
    """Whether a download also restores owners, groups and special bits."""
    exclude: tuple[str, ...] = ()
    """Patterns of files that an upload leaves out (`backup.files.filters`)."""
    include: tuple[str, ...] = ()
    """Patterns of the only files that an upload takes; without any, it takes all."""

    @property
    def selection(self) -> Selection:
        return Selection(links=self.links, include=self.include, exclude=self.exclude)


AS_IT_IS: Final = TransferWish()


class TransferChoice(Enum):
    """Answers that keep the counted plan; any other answer is a `TransferWish` to count again with."""

    START = 0
    LEAVE_OUT = 1
    """Ask what to leave out."""


def transfer_question(
    plan: TransferPlan, destination: str, how: TransferWish = AS_IT_IS
) -> Question[TransferWish | TransferChoice]:
    """`plan` was counted with `how`; `destination` must have passed `safe`."""
    verb = "Upload" if plan.kind is JobKind.UPLOAD else "Download"
    facts = [Fact("what", _amount(plan), Tone.STRONG), Fact("to", destination), *_warnings(plan, how)]
    choices: list[Choice[TransferWish | TransferChoice]] = []
    if plan.moves_nothing:
        facts.append(Fact("nothing", f"left to {verb.lower()}", Tone.WAITING))
    else:
        facts.append(_replaced(plan, how))
        choices.append(Choice(f"{verb}, replace" if plan.replaces else verb, TransferChoice.START, key="y"))
    if how.conflicts is not Conflicts.REPLACE:
        choices.append(Choice("Replace all", how._replace(conflicts=Conflicts.REPLACE), key="s"))
    elif plan.replaces:
        choices.append(Choice("Skip unchanged", how._replace(conflicts=Conflicts.SKIP_UNCHANGED), key="s"))
    choices += _upload_choices(plan, how) if plan.kind is JobKind.UPLOAD else _download_choices(plan, how)
    return Question(f"{verb} to {destination}" if len(destination) < 40 else verb, facts, choices)


def _upload_choices(plan: TransferPlan, how: TransferWish) -> Iterator[Choice[TransferWish | TransferChoice]]:
    if plan.skipped_symlinks or how.links is not Links.SKIP:
        for links, label, key in ((Links.STORE, "Store links", "l"), (Links.FOLLOW, "Follow links", "f")):
            chosen = how.links is links
            yield Choice(
                "Skip links" if chosen else label, how._replace(links=Links.SKIP if chosen else links), key=key
            )
    if plan.folders or plan.ruled_out or how.exclude or how.include:
        yield Choice("Leave out…", TransferChoice.LEAVE_OUT, key="x")


def _download_choices(plan: TransferPlan, how: TransferWish) -> Iterator[Choice[TransferWish | TransferChoice]]:
    makes_links = how.links is Links.STORE
    if plan.links or makes_links:
        links = Links.SKIP if makes_links else Links.STORE
        yield Choice("Make files" if makes_links else "Make links", how._replace(links=links), key="l")
    if plan.owned or plan.perhaps_owned or how.owner:
        yield Choice("Without owners" if how.owner else "With owners", how._replace(owner=not how.owner), key="o")


def delete_question(plan: TransferPlan, source: str) -> Question[bool]:
    facts = [Fact("what", _amount(plan), Tone.STRONG), Fact("from", source), *_warnings(plan)]
    if plan.deletion:
        tone = Tone.FAILED if plan.deletion.for_good else Tone.WAITING
        facts.append(Fact("after that", safe(plan.deletion.words), tone))
    return Question("Delete at the service", facts, [Choice("Delete", True)], danger=True)


def cancel_question(items: Sequence[ItemView], chosen: int) -> Question[bool]:
    """`items` are the loaded and unfinished ones of the `chosen` items."""
    moved = sum(item.bytes_done for item in items)
    what = safe(items[0].name) if chosen == 1 else f"{count(chosen, 'transfer')}, except finished ones"
    facts = [
        Fact("what", what, Tone.STRONG),
        Fact("discards", f"{size(moved)} transferred; unfinished parts are removed at the service", Tone.WAITING),
        Fact("kept", "your files, older copies, and everything that is finished; r starts again"),
        Fact("instead", "p pauses, and keeps all parts sent so far", Tone.MUTED),
    ]
    title, keep = ("Cancel this transfer?", "Keep it") if chosen == 1 else ("Cancel them?", "Keep them")
    return Question(title, facts, [Choice("Cancel it" if chosen == 1 else "Cancel them", True)], keep=keep, danger=True)


def _amount(plan: TransferPlan) -> str:
    noun = "object" if plan.kind is JobKind.DELETE else "file"
    least = "" if plan.complete else "at least "
    join = "and" if plan.removes_folders else "in"
    folders = f" {join} {count(plan.folders, 'folder')}" if plan.folders else ""
    return f"{least}{count(plan.files, noun)}{folders} · {size(plan.size_bytes)}"


def _warnings(plan: TransferPlan, how: TransferWish = AS_IT_IS) -> list[Fact]:
    facts = []
    if not plan.complete:
        facts.append(Fact("counting", "stopped early: there are more, and all of them are included", Tone.WAITING))
    skipped = [
        count(number, *words)
        for number, *words in (
            (plan.skipped_symlinks, "symbolic link"),
            (plan.skipped_special, "special file"),
            (plan.skipped_folders, "empty folder"),
            (plan.ruled_out, "entry left out by your rules", "entries left out by your rules"),
        )
        if number
    ]
    if plan.left_out:
        what = count(plan.left_out, "entry without content", "entries without content")
        names = listed(plan.left_out_names, of=plan.left_out)
        skipped.append(f"{what}{': ' if names else ''}{names}")
    if skipped:
        facts.append(Fact("skipped", " and ".join(skipped), Tone.WAITING))
    if plan.refuses:
        names = listed(plan.refused_names, of=plan.refuses)
        words = f"{plan.refuses:,} of them, because something is there already: {names}"
        facts.append(Fact("refused", words, Tone.WAITING))
    if how.include:
        facts.append(Fact("only", safe(", ".join(how.include)), Tone.WAITING))
    if how.exclude:
        nothing = "" if plan.ruled_out or not plan.complete else ": nothing matches"
        facts.append(Fact("without", f"{safe(', '.join(how.exclude))}{nothing}", Tone.WAITING))
    facts += _metadata(plan, how)
    if plan.lacks_room and plan.free_bytes is not None:
        missing = size(plan.needs_bytes - plan.free_bytes)
        words = f"they need {size(plan.needs_bytes)} there, {missing} more than is free: nothing will start"
        facts.append(Fact("no room", words, Tone.FAILED))
    if plan.unstorable:
        names = listed(plan.unstorable_names, of=plan.unstorable)
        where = "this service cannot store, and will refuse"
        if plan.kind is JobKind.DOWNLOAD:
            where = "this disk cannot store, and that will fail"
        words = f"{count(plan.unstorable, 'name')} that {where}: {names}"
        facts.append(Fact("names", words, Tone.WAITING))
        facts.append(Fact("why", safe(plan.unstorable_why), Tone.MUTED))
    if plan.clashes:
        names = listed(plan.clashing_names, of=plan.clashes)
        words = f"{count(plan.clashes, 'name')} differ only in case, and will be refused: {names}"
        facts.append(Fact("refused", words, Tone.WAITING))
    if plan.unreadable:
        names = listed(plan.unreadable_names, of=plan.unreadable)
        words = f"{count(plan.unreadable, 'entry', 'entries')}, and will fail: {names}"
        facts += [Fact("unreadable", words, Tone.WAITING), Fact("why", safe(plan.unreadable_why), Tone.MUTED)]
    return facts


def _metadata(plan: TransferPlan, how: TransferWish) -> list[Fact]:
    """Facts about links, modes and owners."""
    facts = []
    if plan.links and plan.kind is not JobKind.DELETE:
        kept = "stored as such" if plan.kind is JobKind.UPLOAD else "restored as links"
        become = kept if how.links is Links.STORE else "restored as files"
        facts.append(Fact("links", f"{count(plan.links, 'symbolic link')} among them, {become}", Tone.MUTED))
    if plan.modes_lost:
        words = f"mode or owner of {plan.modes_lost:,} of them: this service does not store them"
        facts.append(Fact("lost", words, Tone.WAITING))
    if plan.restores_owner:
        words = f"owner, group and special bits of {plan.owned:,} of them"
        facts.append(Fact("restores", words, Tone.WAITING))
    elif plan.owned:
        words = f"owner, group or special bits of {plan.owned:,} of them; o restores these"
        facts.append(Fact("left out", words, Tone.WAITING))
    if plan.ignored_metadata:
        words = f"{count(plan.ignored_metadata, 'stored value')} that is no mode, owner or group"
        facts.append(Fact("ignored", words, Tone.WAITING))
    return facts


def _replaced(plan: TransferPlan, how: TransferWish) -> Fact:
    skips = how.conflicts is Conflicts.SKIP_UNCHANGED
    if not plan.replaces:
        return Fact("replaces", "nothing with another size or time" if skips else "nothing", Tone.MUTED)
    names = listed(plan.replaced_names, of=plan.replaces)
    differ = " with another size or time" if skips else ""
    words = f"{plan.replaces:,} of them{differ}{': ' if names else ''}{names}"
    return Fact("replaces", words, Tone.WAITING)
