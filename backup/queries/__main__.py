"""`python -m backup.queries`: the short-lived process that answers questions over stdin and stdout, and ends with its
parent."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from typing import Any, BinaryIO, Final

import msgspec

from backup.queries.answers import ANSWERS, Questions
from backup.queries.encoding import from_data, to_data
from backup.queries.questions import ServiceQuestion
from backup.rpc import Handler, RpcCall, Server
from backup.system import logs
from backup.system.hardening import harden_process
from backup.system.paths import Paths
from providers.secret import Secret

_LOG: Final = logging.getLogger(__name__)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class _Key(msgspec.Struct):
    key: str


def handlers(questions: Questions) -> dict[str, Handler]:
    """A handler for every question by its method name, and for `ping`, `unlock` and `lock`."""

    def answering(kind: type[ServiceQuestion[Any]]) -> Handler:
        def answer(call: RpcCall) -> Any:
            return to_data(questions.ask(from_data(call.params, kind), call.event, cancel=call.cancel))

        return answer

    return {kind.method(): answering(kind) for kind in ANSWERS} | {
        "ping": lambda call: "pong",
        "unlock": lambda call: questions.unlock(Secret(call.arguments(_Key).key)),
        "lock": lambda call: questions.lock(),
    }


def _die_with_parent() -> None:
    """End with the parent even while stuck inside a call; otherwise the end of stdin does it. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes to private descriptors, so that a library cannot print or read between the messages."""
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return reader, writer


def main() -> None:
    _die_with_parent()
    harden_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent, which closes the pipe
    reader, writer = _private_pipes()
    paths = Paths.of_process()
    logs.set_up(paths, "queries")
    questions = Questions(paths)
    Server(handlers(questions)).serve(reader, writer)
    questions.close()
    logging.shutdown()
    os._exit(0)  # running questions would keep the interpreter alive; their asker is gone


if __name__ == "__main__":
    main()
