"""What the verbs of one command line share. Everything is made on first use, so that a verb pays only for what it
needs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from backup.cli import diagnostics
from backup.cli.output import Output
from backup.cli.remedies import advice
from backup.system.paths import Paths

if TYPE_CHECKING:
    from backup.core.core import Core
    from backup.instances.plain_secrets import Adoption
    from backup.model.instances import InstanceInfo
    from backup.queries.answers import Questions
    from providers.contract.report import ErrorInfo
    from providers.secret import Secret

F = TypeVar("F", bound=Callable[..., Any])


class Session:
    def __init__(self, paths: Paths | None = None) -> None:
        self.verbose = False
        self.passphrase_fd: int | None = None
        """Where the passphrase of the vault comes from, instead of the terminal."""
        self._left_in_file: tuple[str, ...] = ()
        """Secrets in the configuration file that wait for a store to move to."""
        self._given_paths = paths

    @cached_property
    def paths(self) -> Paths:
        """Looked for on first use: help needs no home. Raises InvalidConfiguration."""
        return self._given_paths or Paths.default()

    @cached_property
    def core(self) -> Core:
        from backup.core.core import Core

        self._start_log()
        core = Core(self.paths)
        self._left_in_file = _tell_adoption(core.credentials.adopt_secrets())
        return core

    @cached_property
    def questions(self) -> Questions:
        from backup.queries.answers import Questions

        self._start_log()
        return Questions(self.paths)

    def open_store(self) -> None:
        """Open the vault, where that is the store and it is locked: by what is set up for it, else by asking (in the
        main thread, which Ctrl-C reaches). Where nobody can be asked it stays locked, and whatever needs it says so.
        Secrets that stood in the configuration move there now. Raises CredentialStoreError.
        """
        core = self.core
        core.credentials.open(self.passphrase() if self.can_ask else None)
        if self._left_in_file:
            self._left_in_file = _tell_adoption(core.credentials.adopt_secrets())

    def open_store_for(self, *names: str) -> None:
        """As `open_store`, if one of these providers keeps credentials."""
        if {info.name for info in self.core.instances.all() if info.has_credentials} & set(names):
            self.open_store()

    def locked_store_of(self, *names: str) -> ErrorInfo | None:
        """What one of these providers has to wait for, where its credentials are in a store that is locked."""
        if not {info.name for info in self.core.instances.all() if info.has_credentials} & set(names):
            return None
        from backup.model.credentials import StoreState
        from providers.contract.report import ErrorInfo

        store = self.core.credentials.status()
        if store.state is not StoreState.LOCKED:
            return None
        return ErrorInfo(
            "credential_store",
            store.detail or f"{store.backend} is locked",
            store.hint,
            store.state.value,
            store.remedies,
        )

    @property
    def can_ask(self) -> bool:
        """Whether a passphrase can be had: from --passphrase-fd, or from somebody who sees the question."""
        return self.passphrase_fd is not None or sys.stderr.isatty()

    def passphrase(self, prompt: str = "Passphrase of the vault") -> Callable[[], Secret]:
        """How to get it. Raises PassphraseError when it is called and there is none."""
        from backup.credentials import passphrase

        number, self.passphrase_fd = self.passphrase_fd, None
        if number is not None:
            return lambda: passphrase.from_fd(number)
        return lambda: passphrase.from_prompt(prompt)

    def new_passphrase(self, prompt: str) -> Secret:
        """One that is about to be set: asked for twice. Raises PassphraseError."""
        from backup.credentials import passphrase

        if self.passphrase_fd is not None:
            return self.passphrase()()
        return passphrase.new_from_prompt(prompt)

    def close(self) -> None:
        """Let go of what was used; transfers go on."""
        if "core" in self.__dict__:
            self.core.close()
        if "questions" in self.__dict__:
            self.questions.close()

    def default_provider(self, output: Output, chosen: str | None) -> str:
        """The provider to use: the chosen one, else `Instances.default`; says which it took, and opens the store
        of its credentials.

        Raises InvalidConfiguration when several could be meant, or there is none of that name.
        """
        if chosen is not None:
            self.open_store_for(chosen)
            return self.core.instances.get(chosen).name
        name = self.core.instances.default()
        if not output.as_json:
            diagnostics.note(f"using provider {name}")
        self.open_store_for(name)
        return name

    def location(self, name: str) -> str:
        """Where an instance keeps its objects, for a person."""
        info: InstanceInfo = self.core.instances.get(name)
        return info.location or info.container or name

    def _start_log(self) -> None:
        from backup.system import logs
        from providers.errors import from_os_error

        try:
            logs.set_up(self.paths, "cli", verbose=self.verbose)
        except OSError as error:
            raise from_os_error(error, error.filename or self.paths.state_dir) from None

    def see_state_folder(self) -> None:
        """Raises ProviderError, naming it, when the state folder cannot be used: nothing works without."""
        self._start_log()

    def warn_of_broken_configuration(self) -> None:
        from backup.config import file

        problem = file.load(self.paths).problem
        if problem:
            diagnostics.warn(f"{problem.message}. {advice(problem)} Defaults are shown.")


def _tell_adoption(adoption: Adoption) -> tuple[str, ...]:
    """What is still in the file."""
    if adoption.moved:
        diagnostics.note(f"moved from the configuration file to the credential store: {', '.join(adoption.moved)}")
    if adoption.left:
        reason = f" ({adoption.problem.message})" if adoption.problem else ""
        diagnostics.warn(f"secrets in plain text in the configuration file: {', '.join(adoption.left)}{reason}")
    return adoption.left


pass_session = click.make_pass_decorator(Session)


def json_option(function: F) -> F:
    """`--json`; the verb gets `output`."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
    @wraps(function)
    def with_output(*args: Any, as_json: bool, **kwargs: Any) -> Any:
        return function(*args, output=Output(as_json=as_json), **kwargs)

    return with_output  # type: ignore[return-value]


def provider_option(function: F) -> F:
    """`--provider NAME`, and what opens the store of its credentials."""
    chosen = click.option(
        "--provider",
        "-p",
        metavar="NAME",
        help="Provider to use; default: the setting default_provider, else the only enabled one except local; local "
        "only if nothing else was ever set up.",
    )
    return chosen(passphrase_option(function))


def passphrase_option(function: F) -> F:
    """`--passphrase-fd N`, kept in the session."""

    def keep(ctx: click.Context, _: click.Parameter, number: int | None) -> None:
        if number is not None:
            ctx.find_object(Session).passphrase_fd = number  # type: ignore[union-attr]

    return click.option(
        "--passphrase-fd",
        metavar="N",
        type=click.IntRange(min=0),
        expose_value=False,
        callback=keep,
        help="Read the passphrase of the store from file descriptor N, instead of asking for it.",
    )(function)


def stdin_is_terminal() -> bool:
    return sys.stdin.isatty()
