"""`python -m backup.queries`: the short-lived process that answers questions over its stdin and stdout, and dies with
its asker."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from backup.model.transfers import Conflicts, Selection
from backup.model.unfinished import Needed
from backup.queries import unfinished
from backup.queries.answers import Questions
from backup.queries.authorizations import GrantOnWire
from backup.rpc import Call, Handler, Server
from backup.system import logs
from backup.system.hardening import harden_process
from backup.system.paths import Paths
from providers.contract.authorization import Grant
from providers.contract.upload import PendingUpload
from providers.secret import Secret

_LOG: Final = logging.getLogger(__name__)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class _ListPage(msgspec.Struct):
    instance: str
    prefix: str
    delimiter: str
    token: str | None
    limit: int


class _Stat(msgspec.Struct):
    instance: str
    key: str


class _Instance(msgspec.Struct):
    instance: str


class _Container(msgspec.Struct):
    instance: str
    name: str


class _Draft(msgspec.Struct):
    service: str
    values: dict[str, str]
    secrets: dict[str, str]
    instance: str


class _Service(msgspec.Struct):
    service: str


class _Begin(_Draft):
    method: str = ""


class _Flow(msgspec.Struct):
    flow: str


class _Pasted(_Flow):
    pasted: str


class _Upload(msgspec.Struct):
    instance: str
    paths: list[str]
    to: str
    conflicts: Conflicts
    selection: Selection = Selection()


class _Download(msgspec.Struct):
    instance: str
    keys: list[str]
    to: str
    conflicts: Conflicts = Conflicts.REPLACE
    links: bool = False
    owner: bool = False


class _Delete(msgspec.Struct):
    instance: str
    keys: list[str]


class _Unfinished(msgspec.Struct):
    instance: str
    needed: list[Needed]


class _Discard(_Unfinished):
    upload: PendingUpload


class _Key(msgspec.Struct):
    key: str


def handlers(questions: Questions) -> dict[str, Handler]:
    """Every question by its name on the wire."""

    def typed(kind: type[Any], answer: Callable[[Any, Call], Any]) -> Handler:
        return lambda call: answer(call.arguments(kind), call)

    ask = questions
    return {
        "ping": lambda call: "pong",
        "unlock": typed(_Key, lambda q, call: ask.unlock(Secret(q.key))),
        "lock": lambda call: ask.lock(),
        "list_page": typed(
            _ListPage,
            lambda q, call: ask.list_page(
                q.instance, q.prefix, delimiter=q.delimiter, token=q.token, limit=q.limit, cancel=call.cancel
            ),
        ),
        "stat": typed(_Stat, lambda q, call: ask.stat(q.instance, q.key, cancel=call.cancel)),
        "containers": typed(_Instance, lambda q, call: ask.containers(q.instance, cancel=call.cancel)),
        "create_container": typed(
            _Container, lambda q, call: ask.create_container(q.instance, q.name, cancel=call.cancel)
        ),
        "probe": typed(_Instance, lambda q, call: ask.probe(q.instance, call.event, cancel=call.cancel)),
        "probe_draft": typed(
            _Draft,
            lambda q, call: ask.probe_draft(**_draft(q), on_step=call.event, cancel=call.cancel),
        ),
        "draft_containers": typed(_Draft, lambda q, call: ask.draft_containers(**_draft(q), cancel=call.cancel)),
        "create_draft_container": typed(
            _Draft, lambda q, call: ask.create_draft_container(**_draft(q), cancel=call.cancel)
        ),
        "authorize_methods": typed(_Service, lambda q, call: ask.authorize_methods(q.service)),
        "authorize_begin": typed(
            _Begin, lambda q, call: ask.authorize_begin(**_draft(q), method=q.method, cancel=call.cancel)
        ),
        "authorize_finish": typed(
            _Pasted, lambda q, call: GrantOnWire.of(ask.authorize_finish(q.flow, q.pasted, cancel=call.cancel))
        ),
        "authorize_poll": typed(_Flow, lambda q, call: _on_wire(ask.authorize_poll(q.flow, cancel=call.cancel))),
        "authorize_end": typed(_Flow, lambda q, call: ask.authorize_end(q.flow)),
        "plan_upload": typed(
            _Upload,
            lambda q, call: ask.plan_upload(
                q.instance,
                [Path(path) for path in q.paths],
                q.to,
                conflicts=q.conflicts,
                selection=q.selection,
                cancel=call.cancel,
            ),
        ),
        "plan_download": typed(
            _Download,
            lambda q, call: ask.plan_download(
                q.instance, q.keys, q.to, conflicts=q.conflicts, links=q.links, owner=q.owner, cancel=call.cancel
            ),
        ),
        "plan_delete": typed(_Delete, lambda q, call: ask.plan_delete(q.instance, q.keys, cancel=call.cancel)),
        "unfinished": typed(
            _Unfinished, lambda q, call: unfinished.find(ask, q.instance, q.needed, cancel=call.cancel)
        ),
        "remove_unfinished": typed(
            _Discard, lambda q, call: unfinished.remove(ask, q.instance, q.upload, q.needed, cancel=call.cancel)
        ),
    }


def _draft(question: _Draft) -> dict[str, Any]:
    return {
        "service": question.service,
        "values": question.values,
        "secrets": {name: Secret(text) for name, text in question.secrets.items()},
        "instance": question.instance,
    }


def _on_wire(grant: Grant | None) -> GrantOnWire | None:
    return None if grant is None else GrantOnWire.of(grant)


def _die_with_parent() -> None:
    """The end of stdin tells it too; this also ends a process that is stuck inside a call. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes for ourselves alone: what a library prints or reads must not end up between the messages."""
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return reader, writer


def main() -> None:
    _die_with_parent()
    harden_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the asker, which closes the pipe
    reader, writer = _private_pipes()
    paths = Paths.of_process()
    logs.set_up(paths, "queries")
    questions = Questions(paths)
    Server(handlers(questions)).serve(reader, writer)
    questions.close()
    logging.shutdown()
    os._exit(0)  # questions under way would keep the interpreter: nobody waits for them any more


if __name__ == "__main__":
    main()
