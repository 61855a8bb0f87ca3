"""The answers to the questions of `backup.queries.questions`, one function each. Runs in the command line's process,
and in the console's child `python -m backup.queries`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from backup.credentials import unlocking
from backup.files import double_encoded, free_space, local, scan
from backup.files.double_encoded import Misnamed
from backup.instances import answers, destination, opening
from backup.instances.pool import OpenProviders
from backup.journal.records import JobRequest
from backup.model.credentials import StoreBackend
from backup.model.transfers import JobKind, TransferPlan
from backup.model.unfinished import Unfinished
from backup.queries import plans, questions, unfinished
from backup.queries.authorizations import Authorizations, BegunAuthorization
from backup.queries.findings import Findings, Scope
from backup.queries.page_to_show import page_to_show
from backup.queries.questions import DraftQuestion, OnStep, Probe, ProbeDraft, ServiceQuestion
from backup.queries.time_limit import TookTooLong, in_time
from backup.system.paths import Paths
from providers import oauth
from providers.base import BaseProvider
from providers.contract.authorization import Grant, Method
from providers.contract.cancel import CancelToken
from providers.contract.objects import Page, RemoteFile
from providers.contract.report import CheckStep, ConnectionReport, ErrorInfo, StepName, StepState
from providers.errors import ProviderError
from providers.secret import Secret

A = TypeVar("A")


class Questions:
    """Answers questions in this process. Safe from any thread. Providers stay open between questions."""

    def __init__(self, paths: Paths) -> None:
        self._shared = _Shared(paths)

    def ask(
        self, question: ServiceQuestion[A], on_step: OnStep | None = None, *, cancel: CancelToken | None = None
    ) -> A:
        """The answer. `on_step` receives each step of a check, in the calling thread.

        Raises ProviderError, TookTooLong after the question's limit, and Cancelled as soon as `cancel` is set, even if
        the service stalls (the stalled call then ends by its own time limit, in an abandoned thread).
        """
        steps: list[CheckStep] = []

        def seen(step: CheckStep) -> None:
            steps.append(step)
            if on_step:
                on_step(step)

        def answer(token: CancelToken, step: OnStep) -> Any:
            return ANSWERS[type(question)](question, _Asking(self._shared, token, step))

        found: Any
        try:
            found = in_time(question.limit_s, cancel, answer, seen)
        except TookTooLong as error:
            if not isinstance(question, Probe | ProbeDraft):
                raise
            found = _cut_short(steps, seen, error)
        return found  # type: ignore[no-any-return]

    def unlock(self, handed: Secret) -> None:
        """Open the vault with the key from another process. Raises VaultError if it is not this vault's key."""
        unlocking.accept(self._shared.paths, handed)

    def lock(self) -> None:
        """Forget the vault's key, and every open provider; running questions continue."""
        unlocking.lock(self._shared.paths, StoreBackend.VAULT)
        self._shared.providers.retire_all()

    def close(self) -> None:
        """Close all open providers and authorisations."""
        self._shared.authorizations.close()
        self._shared.providers.close()


class _Shared:
    """Resources shared by all answers."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.providers = OpenProviders(paths)
        self.authorizations = Authorizations()


@dataclass(frozen=True)
class _Asking:
    """One question that is being answered."""

    shared: _Shared
    cancel: CancelToken
    step: OnStep

    @contextmanager
    def provider(self, instance: str, listed: str | None = None) -> Iterator[BaseProvider]:
        """The provider of an instance. Errors inside are recorded in the instance's state (`answers.noted`)."""
        with (
            self.shared.providers.of(instance) as provider,
            answers.noted(self.shared.paths, instance, listed=listed, unusable=provider.unusable),
        ):
            yield provider

    def request(self, instance: str, send: Callable[[BaseProvider], A]) -> A:
        """One request, retried according to the instance's settings."""
        with self.provider(instance) as provider:
            return provider.retry.run(partial(send, provider), self.cancel)

    def draft(self, question: DraftQuestion[Any]) -> closing[BaseProvider]:
        """A provider with the values of a form."""
        return closing(
            self.shared.providers.draft(
                question.service, question.values, question.secrets, self.cancel, question.instance
            )
        )

    @contextmanager
    def counting(self, instance: str, order: JobRequest, *, dry_run: bool) -> Iterator[tuple[BaseProvider, plans.Keep]]:
        """The provider, and a function that keeps a plan's findings for the job; in a dry run it keeps nothing."""
        with self.provider(instance) as provider:
            scope = Scope.of(order, destination.place_of(self.shared.paths, instance))
            yield provider, plans.keep_nothing if dry_run else partial(Findings(self.shared.paths).keep, scope)


_Answer = Callable[[Any, _Asking], A]
ANSWERS: Final[dict[type[ServiceQuestion[Any]], _Answer[Any]]] = {}


def _answers(kind: type[ServiceQuestion[A]]) -> Callable[[_Answer[A]], _Answer[A]]:
    def noted(function: _Answer[A]) -> _Answer[A]:
        ANSWERS[kind] = function
        return function

    return noted


@_answers(questions.ListPage)
def _list_page(question: questions.ListPage, asking: _Asking) -> Page:
    with asking.provider(question.instance, question.prefix) as provider:
        scan = partial(
            provider.scan, question.prefix, delimiter=question.delimiter, token=question.token, limit=question.limit
        )
        return page_to_show(provider, scan, asking.cancel)


@_answers(questions.Stat)
def _stat(question: questions.Stat, asking: _Asking) -> RemoteFile:
    return asking.request(question.instance, lambda provider: provider.stat(question.key))


@_answers(questions.ListContainers)
def _list_containers(question: questions.ListContainers, asking: _Asking) -> list[str]:
    return asking.request(question.instance, lambda provider: provider.containers())


@_answers(questions.CreateContainer)
def _create_container(question: questions.CreateContainer, asking: _Asking) -> None:
    with asking.provider(question.instance) as provider:
        provider.create_container(question.name)


@_answers(Probe)
def _probe(question: Probe, asking: _Asking) -> ConnectionReport:
    with closing(asking.shared.providers.fresh(question.instance, asking.cancel)) as provider:
        return provider.probe(asking.step)


@_answers(ProbeDraft)
def _probe_draft(question: ProbeDraft, asking: _Asking) -> ConnectionReport:
    with asking.draft(question) as provider:
        return provider.probe(asking.step)


@_answers(questions.ListDraftContainers)
def _list_draft_containers(question: questions.ListDraftContainers, asking: _Asking) -> list[str]:
    with asking.draft(question) as provider:
        return provider.containers()


@_answers(questions.CreateDraftContainer)
def _create_draft_container(question: questions.CreateDraftContainer, asking: _Asking) -> None:
    with asking.draft(question) as provider:
        provider.create_container(provider.settings.container)


@_answers(questions.AuthorizeMethods)
def _authorize_methods(question: questions.AuthorizeMethods, asking: _Asking) -> tuple[Method, ...]:
    return oauth.methods(question.service)


@_answers(questions.AuthorizeBegin)
def _authorize_begin(question: questions.AuthorizeBegin, asking: _Asking) -> BegunAuthorization:
    settings = opening.draft_settings(
        asking.shared.paths, question.service, question.values, question.secrets, instance=question.instance
    )
    return asking.shared.authorizations.begin(question.service, settings, question.way)


@_answers(questions.AuthorizeFinish)
def _authorize_finish(question: questions.AuthorizeFinish, asking: _Asking) -> Grant:
    return asking.shared.authorizations.finish(question.flow, question.pasted)


@_answers(questions.AuthorizePoll)
def _authorize_poll(question: questions.AuthorizePoll, asking: _Asking) -> Grant | None:
    return asking.shared.authorizations.poll(question.flow)


@_answers(questions.AuthorizeEnd)
def _authorize_end(question: questions.AuthorizeEnd, asking: _Asking) -> None:
    asking.shared.authorizations.end(question.flow)


@_answers(questions.PlanUpload)
def _plan_upload(question: questions.PlanUpload, asking: _Asking) -> TransferPlan:
    sources = tuple(local.resolved(str(path)) for path in question.paths)
    to, selection = question.to, question.selection
    order = JobRequest(kind=JobKind.UPLOAD, sources=sources, to=scan.upload_prefix(to), selection=selection)
    with asking.counting(question.instance, order, dry_run=question.dry_run) as (provider, keep):
        return plans.upload(
            provider, question.instance, question.paths, to, question.conflicts, asking.cancel, keep, selection
        )


@_answers(questions.PlanDownload)
def _plan_download(question: questions.PlanDownload, asking: _Asking) -> TransferPlan:
    order = JobRequest(kind=JobKind.DOWNLOAD, sources=tuple(question.keys))
    with asking.counting(question.instance, order, dry_run=question.dry_run) as (provider, keep):
        plan = plans.download(
            provider,
            question.instance,
            question.keys,
            question.to,
            asking.cancel,
            keep,
            conflicts=question.conflicts,
            links=question.links,
            owner=question.owner,
        )
    return msgspec.structs.replace(plan, free_bytes=free_space.left_bytes(asking.shared.paths, Path(plan.destination)))


@_answers(questions.PlanDelete)
def _plan_delete(question: questions.PlanDelete, asking: _Asking) -> TransferPlan:
    order = JobRequest(kind=JobKind.DELETE, sources=tuple(question.keys))
    with asking.counting(question.instance, order, dry_run=question.dry_run) as (provider, keep):
        return plans.delete(provider, question.instance, question.keys, asking.cancel, keep)


@_answers(questions.FindUnfinished)
def _find_unfinished(question: questions.FindUnfinished, asking: _Asking) -> list[Unfinished]:
    with asking.provider(question.instance) as provider:
        return unfinished.find(provider, question.instance, question.needed, asking.cancel)


@_answers(questions.RemoveUnfinished)
def _remove_unfinished(question: questions.RemoveUnfinished, asking: _Asking) -> bool:
    with asking.provider(question.instance) as provider:
        return unfinished.remove(provider, question.instance, question.upload, question.needed, asking.cancel)


@_answers(questions.FindMisnamed)
def _find_misnamed(question: questions.FindMisnamed, asking: _Asking) -> Misnamed:
    with asking.provider(question.instance) as provider:
        return double_encoded.look(provider, asking.cancel)


def _cut_short(steps: list[CheckStep], on_step: OnStep, error: ProviderError) -> ConnectionReport:
    """The report of a check that hangs: its current step has failed."""
    names = list(StepName)[len(steps) :]
    for position, name in enumerate(names):
        state = StepState.NOT_RUN if position else StepState.FAILED
        on_step(CheckStep(name=name, state=state, error=None if position else ErrorInfo.of(error)))
    return ConnectionReport(steps=tuple(steps), checked_at=time.time())
