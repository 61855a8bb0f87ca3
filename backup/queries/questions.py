"""The questions to a storage service, each declared once: parameters as fields, the type of the answer in brackets.
Most only read; transfers and deletions are queued instead.

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
    """True if it is asked again when the answering process is lost."""

    @classmethod
    def method(cls) -> str:
        """Its name between processes: `list_page` for `ListPage`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def answer_type(cls) -> Any:
        """The type `A` of the declaration."""
        (declared,) = cls.__orig_bases__  # type: ignore[attr-defined]  # set on every class with a generic base
        return get_args(declared)[0]

    def for_another_folder(self) -> Self:
        """The same question, for a process with another working folder."""
        return self


class ListPage(ServiceQuestion[Page], frozen=True):
    """One page. Raises as `Storage.scan`, retried according to the instance's settings. If a page cannot be read
    completely, the readable part, with the reason in `unread`; such a page is only for display."""

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
    """Create a container."""

    repeatable = False
    instance: str
    name: str


class Probe(ServiceQuestion[ConnectionReport], frozen=True):
    """Check a saved instance, step by step. The caller records the result."""

    limit_s = 120.0
    instance: str


class DraftQuestion(ServiceQuestion[A], Generic[A], frozen=True):
    """A question with the values of a form. Omitted secrets are taken from the saved `instance`."""

    service: str
    values: dict[str, str]
    secrets: dict[str, Secret]
    instance: str = ""


class ProbeDraft(DraftQuestion[ConnectionReport], frozen=True):
    """Check the values of a form before they are saved."""

    limit_s = 120.0


class ListDraftContainers(DraftQuestion[list[str]], frozen=True):
    """The containers that the credentials in a form can see."""


class CreateDraftContainer(DraftQuestion[None], frozen=True):
    """Create the container named in a form."""

    repeatable = False


class AuthorizeMethods(ServiceQuestion[tuple[Method, ...]], frozen=True):
    """The methods to authorise a service; empty if it needs no browser."""

    service: str


class AuthorizeBegin(DraftQuestion[BegunAuthorization], frozen=True):
    """Begin an authorisation. It ends with a grant, an error, or `AuthorizeEnd`."""

    repeatable = False
    way: str = ""
    """The name of one of the methods; empty for the first."""


class AuthorizeFinish(ServiceQuestion[Grant], frozen=True):
    """Finish with the text that the user pasted."""

    repeatable = False
    flow: str
    pasted: str


class AuthorizePoll(ServiceQuestion[Grant | None], frozen=True):
    """The grant once there is one."""

    repeatable = False
    flow: str


class AuthorizeEnd(ServiceQuestion[None], frozen=True):
    """Give up an authorisation. Does nothing if it is over."""

    repeatable = False
    flow: str


class PlanUpload(ServiceQuestion[TransferPlan], frozen=True):
    """Count what an upload would send and replace. Counting stops after 5 s or 100,000 entries; `complete` is then
    False. With `dry_run`, here and below, no findings are kept for a transfer: nothing is written."""

    instance: str
    paths: list[Path]
    to: str = ""
    conflicts: Conflicts = Conflicts.REPLACE
    selection: Selection = EVERYTHING
    dry_run: bool = False

    def for_another_folder(self) -> Self:
        return msgspec.structs.replace(self, paths=[Path(os.path.abspath(path)) for path in self.paths])


class PlanDownload(ServiceQuestion[TransferPlan], frozen=True):
    """Count what a download would fetch and replace, and the free space. `links`, `owner`: the download restores stored
    links, owners. A final '/' of `to` means a folder."""

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
    """Every unfinished upload, ours and others', oldest first. Raises Unsupported if the service cannot list them."""

    instance: str
    needed: list[Needed]


class RemoveUnfinished(ServiceQuestion[bool], frozen=True):
    """Remove an unfinished upload. False, and nothing is removed, if a transfer of ours has resumed it meanwhile."""

    instance: str
    upload: PendingUpload
    needed: list[Needed]


class FindMisnamed(ServiceQuestion[Misnamed], frozen=True):
    """Names that were stored double-encoded, as far as can be checked within 10 s."""

    limit_s = 10.0
    instance: str
