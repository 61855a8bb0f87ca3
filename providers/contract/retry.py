"""The one retry policy, used by the part loops. SDK retries are turned off."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Final, TypeVar

from providers.contract.cancel import CancelToken, acting_for
from providers.contract.throttle import Sleep, cancellable_sleep
from providers.errors import ProviderError

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
MAX_DELAY_S: Final = 60.0


class RetryPolicy:
    """Runs a call up to 1 + `max_retries` times.

    Before retry n (from 0) it waits a random time between 0 and `retry_delay_s` * 2**n, at most 60 s ("full jitter":
    AWS Architecture Blog, Exponential Backoff And Jitter). If the service named a time (Retry-After), it waits exactly
    that, at most an hour. Errors that are not `retryable`, or ask for a longer wait than `patience_s`, are raised at
    once.
    """

    def __init__(
        self,
        max_retries: int = 3,
        retry_delay_s: float = 1.0,
        *,
        patience_s: float | None = None,
        sleep: Sleep = cancellable_sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.max_retries = max_retries
        self.retry_delay_s = retry_delay_s
        self._patience_s = patience_s
        self._sleep = sleep
        self._uniform = uniform

    def delay_s(self, attempt: int, error: ProviderError) -> float:
        """Time to wait before retry `attempt`, counted from 0."""
        if error.retry_after_s is not None:
            return error.retry_after_s
        return self._uniform(0.0, min(self.retry_delay_s * 2**attempt, MAX_DELAY_S))

    def _asks_too_much(self, error: ProviderError) -> bool:
        asked_s = error.retry_after_s
        return self._patience_s is not None and asked_s is not None and asked_s > self._patience_s

    def run(
        self,
        call: Callable[[], T],
        cancel: CancelToken,
        *,
        on_wait: Callable[[float, ProviderError], None] | None = None,
        worth_repeating: Callable[[ProviderError], bool] = lambda error: error.retryable,
    ) -> T:
        """The result of the call, or its last error. The call runs with `cancel` as the active token.

        `on_wait(seconds, error)` is called before each wait.
        """
        attempt = 0
        while True:
            cancel.check()
            try:
                with acting_for(cancel):
                    return call()
            except ProviderError as error:
                cancel.check()
                if attempt >= self.max_retries or not worth_repeating(error) or self._asks_too_much(error):
                    raise
                delay = self.delay_s(attempt, error)
                _LOG.info("retry %d of %d in %.2f s: %s", attempt + 1, self.max_retries, delay, error)
                if on_wait:
                    on_wait(delay, error)
                self._sleep(delay, cancel)
                attempt += 1
