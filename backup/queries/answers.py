"""Questions that reach a storage service: what is there, is it reachable. They read; whatever changes something is
queued.

`Questions` answers in the calling process (CLI, and inside the child). `QuestionsClient` asks the child `python -m
backup.queries`, so that no SDK is ever loaded in the UI process; its methods are coroutines with the same names.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from backup.credentials import unlocking
from backup.files import double_encoded, free_space, local, scan
from backup.files.double_encoded import Misnamed
from backup.instances import answers, destination, opening
from backup.instances.pool import OpenProviders
from backup.journal.records import Order
from backup.model.credentials import StoreBackend
from backup.model.transfers import EVERYTHING, Conflicts, JobKind, Selection, TransferPlan
from backup.queries import plans
from backup.queries.authorizations import Authorizations, Begun
from backup.queries.client import QuestionsClient
from backup.queries.findings import Findings, Scope
from backup.queries.page_to_show import page_to_show
from backup.system.paths import Paths
from providers import oauth
from providers.base import BaseProvider
from providers.contract.authorization import Grant, Method
from providers.contract.cancel import CancelToken
from providers.contract.objects import Page, RemoteFile
from providers.contract.report import CheckStep, ConnectionReport, ErrorInfo, StepName, StepState
from providers.contract.upload import PendingUpload
from providers.errors import Cancelled, ProviderError, Transient
from providers.secret import Secret

__all__ = ["LIMIT_S", "PROBE_LIMIT_S", "Questions", "QuestionsClient"]

T = TypeVar("T")

LIMIT_S: Final = 60.0
"""Longest wait for an answer, retries included."""
PROBE_LIMIT_S: Final = 120.0
_LOOK_LIMIT_S: Final = 10.0

OnStep = Callable[[CheckStep], None]
_Ask = Callable[[CancelToken, Callable[[CheckStep], None]], T]


class Questions:
    """Safe from any thread. Every question takes `cancel`: once that is set, the asker gets Cancelled at once, also
    while the service stalls (the stalled call ends by its own time limit, in a thread that nobody waits for)."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._providers = OpenProviders(paths)
        self._authorizations = Authorizations()

    def unlock(self, handed: Secret) -> None:
        """Open the vault with what another process handed over. Raises VaultError when it is not this vault's key."""
        unlocking.accept(self._paths, handed)

    def lock(self) -> None:
        """Forget what opens the vault, and every provider that was opened with it; questions under way go on."""
        unlocking.lock(self._paths, StoreBackend.VAULT)
        self._providers.retire_all()

    def list_page(
        self,
        instance: str,
        prefix: str = "",
        *,
        delimiter: str = "/",
        token: str | None = None,
        limit: int = 1000,
        cancel: CancelToken | None = None,
    ) -> Page:
        """One page; errors as `Storage.scan` raises them, retried as the instance's settings say. Of a page that cannot
        be read whole, what can be, with `unread`: it is to be shown, and for nothing else."""

        def answer(cancel: CancelToken, _: OnStep) -> Page:
            with self._noted(instance, prefix) as provider:
                scan = partial(provider.scan, prefix, delimiter=delimiter, token=token, limit=limit)
                return page_to_show(provider, scan, cancel)

        return _in_time(LIMIT_S, cancel, answer)

    def stat(self, instance: str, key: str, *, cancel: CancelToken | None = None) -> RemoteFile:
        return self._ask(instance, cancel, lambda provider: provider.stat(key))

    def containers(self, instance: str, *, cancel: CancelToken | None = None) -> list[str]:
        return self._ask(instance, cancel, lambda provider: provider.containers())

    def create_container(self, instance: str, name: str, *, cancel: CancelToken | None = None) -> None:
        def create(token: CancelToken, _: OnStep) -> None:
            with self._noted(instance) as provider:
                provider.create_container(name)

        _in_time(LIMIT_S, cancel, create)

    def probe(
        self, instance: str, on_step: OnStep | None = None, *, cancel: CancelToken | None = None
    ) -> ConnectionReport:
        """Check a saved instance. Does not record the result: `Service.record_check` does."""
        return self._probe(lambda token: self._providers.fresh(instance, token), on_step, cancel)

    def probe_draft(
        self,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret],
        on_step: OnStep | None = None,
        *,
        instance: str = "",
        cancel: CancelToken | None = None,
    ) -> ConnectionReport:
        """Check what a form holds, before it is saved. Secrets that are left out are taken from the saved
        `instance`."""
        return self._probe(
            lambda token: self._providers.draft(service, values, secrets, token, instance), on_step, cancel
        )

    def draft_containers(
        self,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret],
        *,
        instance: str = "",
        cancel: CancelToken | None = None,
    ) -> list[str]:
        """`containers`, asked with what a form holds."""
        opening = partial(self._providers.draft, service, values, secrets, instance=instance)
        return _in_time(LIMIT_S, cancel, lambda token, _: _with(opening(cancel=token), lambda it: it.containers()))

    def create_draft_container(
        self,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret],
        *,
        instance: str = "",
        cancel: CancelToken | None = None,
    ) -> None:
        """Create the container that a form names."""
        opening = partial(self._providers.draft, service, values, secrets, instance=instance)
        _in_time(
            LIMIT_S,
            cancel,
            lambda token, _: _with(opening(cancel=token), lambda it: it.create_container(it.settings.container)),
        )

    def authorize_methods(self, service: str) -> tuple[Method, ...]:
        """How a service can be authorised; empty where it needs no browser."""
        return oauth.methods(service)

    def authorize_begin(
        self,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret],
        method: str = "",
        *,
        instance: str = "",
        cancel: CancelToken | None = None,
    ) -> Begun:
        """Begin with what a form holds, over what the saved `instance` has. Ends with a grant, an error, or
        `authorize_end`."""

        def begin(_: CancelToken, __: OnStep) -> Begun:
            merged = opening.draft_settings(self._paths, service, values, secrets, instance=instance)
            return self._authorizations.begin(service, merged, method)

        return _in_time(LIMIT_S, cancel, begin)

    def authorize_finish(self, flow: str, pasted: str, *, cancel: CancelToken | None = None) -> Grant:
        return _in_time(LIMIT_S, cancel, lambda _, __: self._authorizations.finish(flow, pasted))

    def authorize_poll(self, flow: str, *, cancel: CancelToken | None = None) -> Grant | None:
        return _in_time(LIMIT_S, cancel, lambda _, __: self._authorizations.poll(flow))

    def authorize_end(self, flow: str) -> None:
        """Give one up. Nothing happens when it is over."""
        self._authorizations.end(flow)

    def plan_upload(
        self,
        instance: str,
        paths: list[Path],
        to: str = "",
        *,
        conflicts: Conflicts = Conflicts.REPLACE,
        selection: Selection = EVERYTHING,
        dry_run: bool = False,
        cancel: CancelToken | None = None,
    ) -> TransferPlan:
        """Count what an upload would send and replace. Stops counting after 5 s or 100,000 entries (`complete`
        False). With `dry_run` nothing that was found is kept for a transfer: nothing at all is written."""
        sources = tuple(local.resolved(str(path)) for path in paths)
        order = Order(kind=JobKind.UPLOAD, sources=sources, to=scan.upload_prefix(to), selection=selection)
        return self._plan(
            instance,
            cancel,
            order,
            lambda provider, token, keep: plans.upload(
                provider, instance, paths, to, conflicts, token, keep, selection
            ),
            dry_run,
        )

    def plan_download(
        self,
        instance: str,
        keys: list[str],
        to: Path | str,
        *,
        conflicts: Conflicts = Conflicts.REPLACE,
        links: bool = False,
        owner: bool = False,
        dry_run: bool = False,
        cancel: CancelToken | None = None,
    ) -> TransferPlan:
        """Likewise of a download; with `links`, of one that restores stored links, with `owner`, owners. Tells how much
        room there is."""
        order = Order(kind=JobKind.DOWNLOAD, sources=tuple(keys))
        plan = self._plan(
            instance,
            cancel,
            order,
            lambda provider, token, keep: plans.download(
                provider, instance, keys, to, token, keep, conflicts=conflicts, links=links, owner=owner
            ),
            dry_run,
        )
        return msgspec.structs.replace(plan, free_bytes=free_space.left_bytes(self._paths, Path(plan.destination)))

    def plan_delete(
        self, instance: str, keys: list[str], *, dry_run: bool = False, cancel: CancelToken | None = None
    ) -> TransferPlan:
        order = Order(kind=JobKind.DELETE, sources=tuple(keys))
        return self._plan(
            instance,
            cancel,
            order,
            lambda provider, token, keep: plans.delete(provider, instance, keys, token, keep),
            dry_run,
        )

    def misnamed(self, instance: str, *, cancel: CancelToken | None = None) -> Misnamed:
        """Which names were stored double-encoded, as far as 10 s allow to look."""

        def answer(token: CancelToken, _: OnStep) -> Misnamed:
            with self._noted(instance) as provider:
                return double_encoded.look(provider, token)

        return _in_time(_LOOK_LIMIT_S, cancel, answer)

    def unfinished_uploads(self, instance: str, *, cancel: CancelToken | None = None) -> list[PendingUpload]:
        """Every unfinished upload, ours and others'. Raises Unsupported where the service lists none."""
        return self._ask(instance, cancel, lambda provider: provider.unfinished_uploads())

    def discard_unfinished(self, instance: str, upload: PendingUpload, *, cancel: CancelToken | None = None) -> None:
        self._ask(instance, cancel, lambda provider: provider.discard_unfinished(upload))

    def pending_uploads(self, instance: str, key: str, *, cancel: CancelToken | None = None) -> list[PendingUpload]:
        return self._ask(instance, cancel, lambda provider: provider.pending_uploads(key))

    def close(self) -> None:
        """Close the providers and authorisations that were opened."""
        self._authorizations.close()
        self._providers.close()

    @contextmanager
    def _noted(self, instance: str, listed: str | None = None) -> Iterator[BaseProvider]:
        """The provider of an instance, whose state follows how this ends (`answers.noted`)."""
        with (
            self._providers.of(instance) as provider,
            answers.noted(self._paths, instance, listed=listed, unusable=provider.unusable),
        ):
            yield provider

    def _ask(self, instance: str, cancel: CancelToken | None, ask: Callable[[BaseProvider], T]) -> T:
        """One request, retried as the instance's settings say."""

        def answer(token: CancelToken, _: OnStep) -> T:
            with self._noted(instance) as provider:
                return provider.retry.run(lambda: ask(provider), token)

        return _in_time(LIMIT_S, cancel, answer)

    def _plan(
        self,
        instance: str,
        cancel: CancelToken | None,
        order: Order,
        plan: Callable[[BaseProvider, CancelToken, plans.Keep], TransferPlan],
        dry_run: bool,
    ) -> TransferPlan:
        """What it finds is kept for whoever queues just this order, unless nobody will."""

        def answer(token: CancelToken, _: OnStep) -> TransferPlan:
            with self._noted(instance) as provider:
                scope = Scope.of(order, destination.place_of(self._paths, instance))
                keep = plans.keep_nothing if dry_run else partial(Findings(self._paths).keep, scope)
                return plan(provider, token, keep)

        return _in_time(LIMIT_S, cancel, answer)

    def _probe(
        self, opening: Callable[[CancelToken], BaseProvider], on_step: OnStep | None, cancel: CancelToken | None
    ) -> ConnectionReport:
        steps: list[CheckStep] = []

        def seen(step: CheckStep) -> None:
            steps.append(step)
            if on_step:
                on_step(step)

        def answer(token: CancelToken, step: OnStep) -> ConnectionReport:
            provider = opening(token)
            try:
                return provider.probe(step)
            finally:
                provider.close()

        try:
            return _in_time(PROBE_LIMIT_S, cancel, answer, seen)
        except TookTooLong as error:
            return _cut_short(steps, seen, error)


def _with(provider: BaseProvider, ask: Callable[[BaseProvider], T]) -> T:
    """Ask a provider of one's own, and close it."""
    try:
        return ask(provider)
    finally:
        provider.close()


class TookTooLong(Transient):
    cure = "Check the network and the service, then ask again."


def _in_time(limit_s: float, cancel: CancelToken | None, ask: _Ask[T], on_step: OnStep | None = None) -> T:
    """`ask(token, step)` in a thread of its own; steps are told in the calling one. Raises what it raises, Cancelled
    as soon as `cancel` is set, and TookTooLong; it is told to stop then, and no longer waited for."""
    token = cancel or CancelToken()
    answers: queue.SimpleQueue[Callable[[], Any] | CheckStep] = queue.SimpleQueue()

    def run() -> None:
        try:
            result = ask(token, answers.put)
        except BaseException as error:  # it is raised in the thread that asked
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


def _cut_short(steps: list[CheckStep], on_step: OnStep, error: ProviderError) -> ConnectionReport:
    """The report of a check that never came back: the step it hangs in has failed."""
    names = list(StepName)[len(steps) :]
    for position, name in enumerate(names):
        state = StepState.NOT_RUN if position else StepState.FAILED
        on_step(CheckStep(name=name, state=state, error=None if position else ErrorInfo.of(error)))
    return ConnectionReport(steps=tuple(steps), checked_at=time.time())
