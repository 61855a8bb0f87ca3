"""Several parts at once, stopped together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

from providers.contract.cancel import CancelToken

T = TypeVar("T")


def run_parts(indices: Sequence[int], call: Callable[[int], T], width: int, stop: CancelToken) -> list[T]:
    """Run `call(index)` for each index, up to `width` at once, started in order; returns the results in order.

    Each runs in a copy of the caller's context. The first failure triggers `stop`, so that the others end at once, and
    is raised instead of the errors it causes.
    """
    if width <= 1:
        return [call(index) for index in indices]
    with ThreadPoolExecutor(width, thread_name_prefix="part") as pool:
        futures = [pool.submit(copy_context().run, call, index) for index in indices]
        finished, pending = wait(futures, return_when=FIRST_EXCEPTION)
        failure = next((error for future in finished if (error := future.exception())), None)
        if failure is not None:
            for future in pending:
                future.cancel()
            stop.cancel()
            raise failure
        return [future.result() for future in futures]
