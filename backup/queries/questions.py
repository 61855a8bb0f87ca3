"""The questions that reach a storage service, each declared once: its parameters, and in brackets what it is answered
with. Most only read; what transfers or deletes objects is queued instead.

`backup.queries.answers` answers them; `backup.queries.client` asks a child process. Loads no storage SDK.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args

import msgspec

from backup.files.double_encoded import Misnamed
from backup.model.transfers import EVERYTHING, Conflicts, Selection, TransferPlan
from backup.model.unfinished import Needed, Unfinished
from backup.queries.authorizations import BegunAuthorization
from providers.contract.authorization import Grant, Method
from providers.contract.objects import Page, RemoteFile
from providers.contract.report import CheckStep, ConnectionReport
from providers.contract.upload import PendingUpload
from providers.secret import Secret

A = TypeVar("A")
OnStep = Callable[[CheckStep], None]


class ServiceQuestion(msgspec.Struct, Generic[A], frozen=True):
    """A question with an answer of type `A`."""

    limit_s: ClassVar[float] = 60.0
    """Longest wait for the answer, retries included."""
    repeatable: ClassVar[bool] = True
    """Whether it is asked again when the process that was to answer it is lost."""

    @classmethod
    def method(cls) -> str:
        """Its name between processes: that of `ListPage` is `list_page`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def answer_type(cls) -> Any:
        """`A`, as the class was declared."""
        (declared,) = cls.__orig_bases__  # type: ignore[attr-defined]  # of every class with a generic base
        return get_args(declared)[0]

    def for_another_folder(self) -> Self:
        """The same question, for a process with another working folder."""
        return self


class ListPage(ServiceQuestion[Page], frozen=True):
    """One page. Errors are those of `Storage.scan`, retried as the instance's settings say. Of a page that cannot be
    read whole, what can be, with `unread`: it is to be shown, and for nothing else."""

    instance: str
    prefix: str = ""
    delimiter: str = "/"
    token: str | None = None
    limit: int = 1000


class Stat(ServiceQuestion[RemoteFile], frozen=True):
    """One object."""

    instance: str
    key: str


class ListContainers(ServiceQuestion[list[str]], frozen=True):
    """The containers that the instance's credentials can see."""

    instance: str


class CreateContainer(ServiceQuestion[None], frozen=True):
    """Creates one."""

    repeatable = False
    instance: str
    name: str


class Probe(ServiceQuestion[ConnectionReport], frozen=True):
    """Check a saved instance, step by step. The result is recorded by whoever asks."""

    limit_s = 120.0
    instance: str


class DraftQuestion(ServiceQuestion[A], Generic[A], frozen=True):
    """Asked with what a form holds. Secrets that are left out are taken from the saved `instance`."""

    service: str
    values: dict[str, str]
    secrets: dict[str, Secret]
    instance: str = ""


class ProbeDraft(DraftQuestion[ConnectionReport], frozen=True):
    """Check what a form holds, before it is saved."""

    limit_s = 120.0


class ListDraftContainers(DraftQuestion[list[str]], frozen=True):
    """The containers that the credentials of a form can see."""


class CreateDraftContainer(DraftQuestion[None], frozen=True):
    """Creates the container that a form names."""

    repeatable = False


class AuthorizeMethods(ServiceQuestion[tuple[Method, ...]], frozen=True):
    """How a service can be authorised; empty where it needs no browser."""

    service: str


class AuthorizeBegin(DraftQuestion[BegunAuthorization], frozen=True):
    """Begins an authorisation. It ends with a grant, an error, or `AuthorizeEnd`."""

    repeatable = False
    way: str = ""
    """The name of one of the methods; empty for the first."""


class AuthorizeFinish(ServiceQuestion[Grant], frozen=True):
    """Brings what the person pasted."""

    repeatable = False
    flow: str
    pasted: str


class AuthorizePoll(ServiceQuestion[Grant | None], frozen=True):
    """The grant once there is one."""

    repeatable = False
    flow: str


class AuthorizeEnd(ServiceQuestion[None], frozen=True):
    """Gives an authorisation up. Nothing happens when it is over."""

    repeatable = False
    flow: str


class PlanUpload(ServiceQuestion[TransferPlan], frozen=True):
    """Count what an upload would send and replace. Counting stops after 5 s or 100,000 entries (`complete` is False
    then). With `dry_run` nothing that was found is kept for a transfer: nothing at all is written; likewise below."""

    instance: str
    paths: list[Path]
    to: str = ""
    conflicts: Conflicts = Conflicts.REPLACE
    selection: Selection = EVERYTHING
    dry_run: bool = False

    def for_another_folder(self) -> Self:
        return msgspec.structs.replace(self, paths=[Path(os.path.abspath(path)) for path in self.paths])


class PlanDownload(ServiceQuestion[TransferPlan], frozen=True):
    """Count what a download would bring and replace, and how much room there is; with `links`, of one that restores
    stored links, with `owner`, owners. A final '/' of `to` says that a folder is meant."""

    instance: str
    keys: list[str]
    to: str
    conflicts: Conflicts = Conflicts.REPLACE
    links: bool = False
    owner: bool = False
    dry_run: bool = False

    def for_another_folder(self) -> Self:
        absolute = os.path.abspath(self.to)
        is_folder = os.path.basename(self.to) in {"", ".", ".."}
        return msgspec.structs.replace(self, to=os.path.join(absolute, "") if is_folder else absolute)


class PlanDelete(ServiceQuestion[TransferPlan], frozen=True):
    """Count what a deletion would remove."""

    instance: str
    keys: list[str]
    dry_run: bool = False


class FindUnfinished(ServiceQuestion[list[Unfinished]], frozen=True):
    """Every unfinished upload, ours and others', the oldest first. Raises Unsupported where the service lists none."""

    instance: str
    needed: list[Needed]


class RemoveUnfinished(ServiceQuestion[bool], frozen=True):
    """Removes one. False, and nothing is removed, where a transfer of ours has taken it up meanwhile."""

    instance: str
    upload: PendingUpload
    needed: list[Needed]


class FindMisnamed(ServiceQuestion[Misnamed], frozen=True):
    """Which names were stored double-encoded, as far as 10 s allow to look."""

    limit_s = 10.0
    instance: str
