"""`status`."""

from __future__ import annotations

from typing import Any

import click

from backup.cli.output import Output
from backup.cli.remedies import in_json
from backup.cli.session import Session, json_option, pass_session
from backup.handshake.presence import WorkerState
from backup.system.text import count, rate, when


@click.command("status")
@json_option
@pass_session
def command(session: Session, output: Output) -> None:
    """Show where everything is kept, which credential store is used, and what is running.

    \b
    JSON: {"version", "paths": {...}, "store": {"state", "backend", "detail", "hint"},
    "worker": {"alive", "state": none, running, stopped or waits_for_room, "pid", "problem"},
    "queue": {"uploading", "queued", "failed", "broken_jobs": how many broke off within a day, ...},
    "instances": [{"name", "type", "state", "enabled", "checked_at", "check_ok"}],
    "calls": {"<provider>": {"<kind of request>": how many}},
    "call_classes": {"<provider>": {"<class of the price list>": how many}}, "problem", "journal_problem"};
    "queue" is null where the journal cannot be read
    """
    status = session.core.status()
    if output.as_json:
        output.document(status)
        return
    status = in_json(status)
    store, queue = status["store"], status["queue"]
    detail = f" ({store['detail']})" if store["detail"] else ""
    rows = [
        ["version", status["version"]],
        ["configuration", status["paths"]["config_file"]],
        ["state, logs", status["paths"]["state_dir"]],
        ["local storage", status["paths"]["local_storage"]],
        ["credentials", f"{store['state']}: {store['backend'] or 'no keyring'}{detail}"],
        ["worker", _worker(status["worker"])],
        ["transfers", _transfers(queue) if queue else "unknown: the journal cannot be read (see below)"],
    ]
    output.table(["WHAT", "VALUE"], rows)
    output.line()
    output.table(["PROVIDER", "SERVICE", "STATE", "LAST CHECK"], [_instance(item) for item in status["instances"]])
    if status["calls"]:
        output.line()
        rows = [
            [name, kind, f"{number:,}"] for name, kinds in status["calls"].items() for kind, number in kinds.items()
        ]
        rows += [
            [name, f"all of class {each}", f"{number:,}"]
            for name, classes in status["call_classes"].items()
            for each, number in classes.items()
        ]
        output.table(["PROVIDER", "REQUEST", "SENT"], rows)
    if store["hint"]:
        output.line(store["hint"])
    if status["journal_problem"]:
        output.line(f"{status['journal_problem']['message']}. {status['journal_problem']['hint']}")
    if status["problem"]:
        output.line(f"configuration: {status['problem']['message']}. {status['problem']['hint']}")


def _worker(worker: dict[str, Any]) -> str:
    if worker["problem"]:
        return f"{worker['problem']['message']}. {worker['problem']['hint']}"
    if worker["alive"]:
        return "running"
    if worker["state"] == WorkerState.NONE:
        return "not running (it starts with the next transfer)"
    return f"does not answer (process {worker['pid']})"


def _transfers(queue: dict[str, Any]) -> str:
    active = queue["uploading"] + queue["downloading"] + queue["deleting"]
    words = [count(active, "running", "running")] if active else []
    words += [
        f"{queue[state]:,} {state}" for state in ("queued", "waiting", "paused", "failed", "verified") if queue[state]
    ]
    if queue["broken_jobs"]:
        words.append(count(queue["broken_jobs"], "broken job"))
    if queue["rate_bytes_per_s"]:
        words.append(rate(queue["rate_bytes_per_s"]))
    return ", ".join(words) or "none"


def _instance(item: dict[str, Any]) -> list[str]:
    checked = "never"
    if item["checked_at"] is not None:
        checked = f"{'ok' if item['check_ok'] else 'failed'} {when(item['checked_at'])}"
    return [item["name"], item["type"], item["state"], checked]
