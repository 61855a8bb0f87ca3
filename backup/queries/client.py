"""The client of `python -m backup.queries`, so that the console's process never loads an SDK."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from typing import Final, TypeVar

from backup.credentials import unlocking
from backup.queries.child import PING_EVERY_S, PING_LIMIT_S, Child
from backup.queries.encoding import from_data, to_data
from backup.queries.questions import OnStep, ServiceQuestion
from backup.rpc import ConnectionLost
from backup.system.paths import Paths
from backup.system.terminal import UTF8_OPTIONS
from providers.contract.cancel import CancelToken
from providers.contract.report import CheckStep, StepName

A = TypeVar("A")

_LOG: Final = logging.getLogger(__name__)

_MARGIN_S: Final = 10.0
"""Time for starting the child, in addition to a question's own limit."""
_TRIES: Final = 3


class QuestionsClient:
    """As `backup.queries.answers.Questions`, but asks a child process. Safe from any thread; several questions may run
    at once.

    The child starts with the first question and ends with `close()` or with this process. A dead or hung child is
    replaced, and `repeatable` questions are asked again.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        argv: Sequence[str] = (),
        ping_every_s: float = PING_EVERY_S,
        ping_limit_s: float = PING_LIMIT_S,
    ) -> None:
        """`argv` (another child) and the ping times are for tests."""
        self._paths = paths
        self._argv = argv or (sys.executable, *UTF8_OPTIONS, "-P", "-m", "backup.queries")
        self._ping_every_s = ping_every_s
        self._ping_limit_s = ping_limit_s
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._closed = False

    def ask(
        self, question: ServiceQuestion[A], on_step: OnStep | None = None, *, cancel: CancelToken | None = None
    ) -> A:
        """The answer. `on_step` receives each step of a check once, in the calling thread.

        Raises as `Questions.ask`, and TimedOut, ConnectionLost. If `cancel` is set, the child gives the question up.
        """
        reported: set[StepName] = set()

        def step(found: CheckStep) -> None:
            """Steps reported before the child was replaced are not reported again."""
            if on_step and found.name not in reported:
                reported.add(found.name)
                on_step(found)

        params = to_data(question.for_another_folder())
        tries = 0
        while True:
            tries += 1
            child = self._living_child()
            try:
                with child.under_way():
                    child.hand_over(unlocking.handover(self._paths))
                    data = child.client.call(
                        question.method(),
                        params,
                        timeout_s=question.limit_s + _MARGIN_S,
                        on_event=step if on_step else None,
                        event_type=CheckStep,
                        cancel=cancel,
                    )
                answer: A = from_data(data, question.answer_type())
                return answer
            except ConnectionLost:
                if self._closed or not question.repeatable or tries == _TRIES:
                    raise
                _LOG.warning("the queries process was lost during %s; asking a new one", question.method())

    def close(self) -> None:
        """End the child. Running questions raise ConnectionLost. May be called twice."""
        with self._lock:
            self._closed = True
            child, self._child = self._child, None
        if child:
            child.close()

    def _living_child(self) -> Child:
        with self._lock:
            if self._closed:
                raise ConnectionLost("the program is closing")
            if self._child is None or self._child.client.lost:
                if self._child:
                    self._child.close()
                self._child = Child(
                    self._argv,
                    self._paths.environment(),
                    ping_every_s=self._ping_every_s,
                    ping_limit_s=self._ping_limit_s,
                )
            return self._child
