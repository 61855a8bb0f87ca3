"""A time limit for answers, whatever a service does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from backup.queries.questions import OnStep
from providers.contract.cancel import CancelToken
from providers.contract.report import CheckStep
from providers.errors import Cancelled, Transient

T = TypeVar("T")


class TookTooLong(Transient):
    cure = "Check the network and the service, then try again."


def in_time(
    limit_s: float,
    cancel: CancelToken | None,
    ask: Callable[[CancelToken, OnStep], T],
    on_step: OnStep | None = None,
) -> T:
    """Run `ask(token, step)` in a thread of its own; steps are reported in the calling thread.

    Raises its errors, Cancelled as soon as `cancel` is set, and TookTooLong if a step takes longer than `limit_s`. Then
    the token is cancelled and the thread abandoned.
    """
    token = cancel or CancelToken()
    answers: queue.SimpleQueue[Callable[[], Any] | CheckStep] = queue.SimpleQueue()

    def run() -> None:
        try:
            result = ask(token, answers.put)
        except BaseException as error:  # raised again in the calling thread
            answers.put(_raising(error))
        else:
            answers.put(lambda: result)

    threading.Thread(target=run, name="question", daemon=True).start()
    with token.calling(lambda: answers.put(_raising(Cancelled("stopped on request")))):
        try:
            while True:
                answer = answers.get(timeout=limit_s)
                if not isinstance(answer, CheckStep):
                    break
                if on_step:
                    on_step(answer)
        except queue.Empty:
            token.cancel()
            raise TookTooLong(f"no answer within {limit_s:.0f} s") from None
        except BaseException:
            token.cancel()
            raise
    result: T = answer()
    return result


def _raising(error: BaseException) -> Callable[[], Any]:
    def raise_it() -> Any:
        raise error

    return raise_it
