"""`credentials status` and `list`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import click

from backup.cli.output import Output
from backup.cli.remedies import advice, in_words
from backup.cli.session import Session, json_option, pass_session
from backup.model.credentials import TITLES, CredentialFact, StoreChoice
from backup.system.text import when


@click.command("status")
@json_option
@pass_session
def status(session: Session, output: Output) -> None:
    """Show the store in use, whether it can be read now, what it protects against, and which others could be.

    \b
    JSON: {"status": {"state", "backend", "detail", "hint"}, "backend", "path", "pinned",
    "facts": [{"question", "answer", "why"}], "credentials": [...], "slots": [{"id", "kind", "label", "created_at"}],
    "left_in", "worker_unlocked", "choices": [{"backend", "title", "state", "in_use", "recommended", ...}]}
    """
    core = session.core
    with ThreadPoolExecutor(1) as thread:  # each waits up to 3 s for a keyring that hangs
        found = thread.submit(core.credentials.choices)
        facts, choices = core.credentials.facts(), found.result()
    output.document({**_as_dict(facts), "choices": choices})
    detail = f" ({facts.status.detail})" if facts.status.detail else ""
    rows = [["store", facts.title], ["state", f"{facts.status.state.value}{detail}"]]
    rows += [["path", facts.path]] if facts.path else []
    rows += [[fact.question, f"{fact.answer.value}: {in_words(fact.why, fact.remedies)}"] for fact in facts.facts]
    rows += [
        ["opens with", f"{slot.kind} {slot.label} (slot {slot.id}, {when(slot.created_at)})"] for slot in facts.slots
    ]
    rows += [[f"credential {fact.key}", _state(fact)] for fact in facts.credentials]
    if facts.worker_unlocked is not None and facts.path:
        rows.append(["worker", "has the key" if facts.worker_unlocked else "does not have the key"])
    output.table(["WHAT", "VALUE"], rows)
    output.line()
    output.table(["STORE", "STATE", "NOTE"], [_choice(choice) for choice in choices])
    if fix := advice(facts.status):
        output.line(fix)
    if facts.left_in:
        output.line(
            f"copies of credentials are still in the {TITLES[facts.left_in]}; to delete them: "
            f"credentials move --to {facts.backend}"
        )


def _state(fact: CredentialFact) -> str:
    ends = f", until {when(fact.expires_at)}" if fact.expires_at else ""
    used = f", last used {when(fact.last_used_at)}" if fact.last_used_at else ""
    return f"{fact.state.value}{ends}{used}"


def _as_dict(struct: object) -> dict[str, object]:
    import msgspec

    return {name: getattr(struct, name) for name in (field.name for field in msgspec.structs.fields(struct))}  # type: ignore[arg-type]


def _choice(choice: StoreChoice) -> list[str]:
    notes = ["in use"] if choice.in_use else []
    notes += ["chosen"] if choice.pinned else []
    notes += ["recommended"] if choice.recommended and not choice.in_use else []
    return [choice.title, choice.state.value, ", ".join(notes) or choice.detail]


@click.command("list")
@json_option
@pass_session
def list_credentials(session: Session, output: Output) -> None:
    """List credentials: set or missing, used by which providers, when last used, when they expire.

    \b
    JSON: {"credentials": [{"key", "instances", "state", "username", "fields", "last_used_at", "expires_at"}]}
    """
    found = session.core.credentials.all()
    output.document({"credentials": found})
    if not found:
        output.line("no provider needs credentials yet")
        return
    output.table(["CREDENTIAL", "STATE", "USED BY", "ACCOUNT", "HOLDS", "LAST USED", "EXPIRES"], map(_row, found))


def _row(fact: CredentialFact) -> list[str]:
    return [
        fact.key,
        fact.state.value,
        ", ".join(fact.instances) or "-",
        fact.username or "-",
        ", ".join(fact.fields) or "-",
        when(fact.last_used_at),
        when(fact.expires_at),
    ]


COMMANDS: Final = {"status": status, "list": list_credentials}
