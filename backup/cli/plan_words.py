"""The text of a plan on the command line, and the plans that are refused."""

from __future__ import annotations

from typing import Final

from backup.cli.diagnostics import ExitCode
from backup.cli.output import Output
from backup.model.transfers import JobKind, TransferPlan
from backup.system.text import count, listed, size
from providers.errors import Unsupported

WITHOUT_BYTES: Final = (
    "entry without content (document, shortcut or link)",
    "entries without content (documents, shortcuts, links)",
)


def refuse_nothing(plan: TransferPlan) -> None:
    """Raise Unsupported if everything chosen is left out: that must not look like a success."""
    if plan.moves_nothing and plan.ruled_out:
        raise Unsupported(
            "your rules leave out everything that was chosen",
            hint="Look at --include, --exclude and --one-file-system; see upload --help.",
        )
    if plan.moves_nothing and plan.kind is JobKind.UPLOAD:
        raise Unsupported(
            "symbolic links, sockets, pipes and devices are not stored, and nothing else was chosen",
            hint="Name the file or folder that a link leads to, or store the link itself with --links store.",
        )
    if plan.moves_nothing and plan.left_out:
        raise Unsupported(
            "documents, shortcuts and links have no bytes, and nothing else was chosen",
            hint="Export or delete them at the service itself; name what a link leads to.",
        )


def end_dry_run(output: Output, plan: TransferPlan) -> int:
    """Print the plan as the only result. Returns the exit code."""
    output.line("nothing was done: --dry-run")
    output.document({"job": None, "plan": plan, "failed": [], "dry_run": True})
    return ExitCode.OK


def no_metadata(number: int) -> str:
    return f"{count(number, 'stored value')}: not a mode, owner or group"


def show_plan(output: Output, plan: TransferPlan) -> None:
    """Print what will happen: how many files and bytes, the destination, what is replaced and left out."""
    at_least = "" if plan.complete else "at least "
    join = "and" if plan.removes_folders else "in"
    what = count(plan.files, "file") + (f" {join} {count(plan.folders, 'folder')}" if plan.folders else "")
    verb = {JobKind.UPLOAD: "upload", JobKind.DOWNLOAD: "download", JobKind.DELETE: "delete"}[plan.kind]
    target = f"{'from' if plan.kind is JobKind.DELETE else 'to'} {plan.destination}"
    much = "an unknown number of files" if plan.unknown else f"{at_least}{what}, {size(plan.size_bytes)}"
    output.line(f"{verb} {much}, {target}")
    if plan.replaces:
        names = listed(plan.replaced_names, of=plan.replaces)
        output.line(f"replaces {count(plan.replaces, 'file')}: {names}")
    if plan.refuses:
        names = listed(plan.refused_names, of=plan.refuses)
        output.line(f"will be refused, because they already exist: {count(plan.refuses, 'file')}: {names}")
    if plan.links:
        words = {JobKind.UPLOAD: "stored as such", JobKind.DOWNLOAD: "stored as such, restored with --links"}
        if plan.kind in words:
            output.line(f"{count(plan.links, 'symbolic link')} among them, {words[plan.kind]}")
    for number, what in (
        (plan.skipped_symlinks, "symbolic link"),
        (plan.skipped_special, "special file"),
        (plan.skipped_folders, "empty folder"),
    ):
        if number:
            output.line(f"leaves out {count(number, what)}")
    if plan.ruled_out:
        output.line(f"left out by your rules: {count(plan.ruled_out, 'entry', 'entries')}")
    if plan.left_out:
        names = listed(plan.left_out_names, of=plan.left_out)
        output.line(f"leaves out {count(plan.left_out, *WITHOUT_BYTES)}: {names}")
    if plan.modes_lost:
        what = count(plan.modes_lost, "file or folder", "files and folders")
        output.line(f"loses mode or owner of {what}: this service cannot store them")
    if plan.owned:
        verb, only = ("restores", "") if plan.restores_owner else ("does not restore", "; see --owner")
        output.line(f"{verb} owner, group or special bits of {at_least}{count(plan.owned, 'file')}{only}")
    if plan.ignored_metadata:
        output.line(f"ignores {no_metadata(plan.ignored_metadata)}")
    if plan.deletion:
        output.line(f"after that: {plan.deletion.words}")
    if plan.unstorable:
        names = listed(plan.unstorable_names, of=plan.unstorable)
        where = "this disk cannot hold them"
        if plan.kind is JobKind.UPLOAD:
            where = f"{plan.instance} cannot hold the name"
        files, folders = plan.unstorable - plan.unstorable_folders, plan.unstorable_folders
        kinds = " and ".join(count(number, kind) for number, kind in ((files, "file"), (folders, "folder")) if number)
        output.line(f"will be refused, because {where}: {kinds}: {names}")
        output.line(f"  why: {plan.unstorable_why}")
    if plan.clashes:
        names = listed(plan.clashing_names, of=plan.clashes)
        output.line(f"will be refused, because names differ only in case: {count(plan.clashes, 'file')}: {names}")
    if plan.unreadable:
        names = listed(plan.unreadable_names, of=plan.unreadable)
        what = count(plan.unreadable, "file or folder", "files and folders")
        output.line(f"cannot be read, and will fail: {what}: {names}")
        output.line(f"  why: {plan.unreadable_why}")
