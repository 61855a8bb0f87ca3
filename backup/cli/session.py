"""State shared by the verbs of one command line. Each part is created on first use, so a verb pays only for what it
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
        """File descriptor to read the passphrase of the vault from, instead of the terminal."""
        self._left_in_file: tuple[str, ...] = ()
        """Secrets in the configuration file that no store could take yet."""
        self._given_paths = paths

    @cached_property
    def paths(self) -> Paths:
        """Found on first use, because help needs no home. Raises InvalidConfiguration."""
        return self._given_paths or Paths.default()

    @cached_property
    def core(self) -> Core:
        from backup.core.core import Core

        self._start_log()
        core = Core(self.paths)
        self._left_in_file = _report_adoption(core.credentials.adopt_secrets())
        return core

    @cached_property
    def questions(self) -> Questions:
        from backup.queries.answers import Questions

        self._start_log()
        return Questions(self.paths)

    def open_store(self) -> None:
        """Open the vault if it is the store and is locked: by the unattended setup, else by asking (in the main thread,
        which Ctrl-C reaches). If nobody can be asked it stays locked, and its next use reports that. Secrets in the
        configuration file move to the store. Raises CredentialStoreError.
        """
        core = self.core
        core.credentials.open(self.passphrase() if self.can_ask else None)
        if self._left_in_file:
            self._left_in_file = _report_adoption(core.credentials.adopt_secrets())

    def open_store_for(self, *names: str) -> None:
        """As `open_store`, if one of these providers keeps credentials."""
        if {info.name for info in self.core.instances.all() if info.has_credentials} & set(names):
            self.open_store()

    def locked_store_of(self, *names: str) -> ErrorInfo | None:
        """The error these providers wait for, if one has credentials and the store is locked; else None."""
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
        """True if a passphrase can be obtained: from --passphrase-fd, or from a user at the terminal."""
        return self.passphrase_fd is not None or sys.stderr.isatty()

    def passphrase(self, prompt: str = "Passphrase of the vault") -> Callable[[], Secret]:
        """A function that returns the passphrase, or raises PassphraseError."""
        from backup.credentials import passphrase

        number, self.passphrase_fd = self.passphrase_fd, None
        if number is not None:
            return lambda: passphrase.from_fd(number)
        return lambda: passphrase.from_prompt(prompt)

    def new_passphrase(self, prompt: str) -> Secret:
        """A new passphrase; asked for twice at the terminal. Raises PassphraseError."""
        from backup.credentials import passphrase

        if self.passphrase_fd is not None:
            return self.passphrase()()
        return passphrase.new_from_prompt(prompt)

    def close(self) -> None:
        """Release everything in use; transfers continue."""
        if "core" in self.__dict__:
            self.core.close()
        if "questions" in self.__dict__:
            self.questions.close()

    def default_provider(self, output: Output, chosen: str | None) -> str:
        """The provider to use: the chosen one, else `Instances.default`, which is then printed. Opens the store of its
        credentials.

        Raises InvalidConfiguration if there is no default, or no provider of that name.
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
        """The place where an instance keeps its objects, as shown to the user."""
        info: InstanceInfo = self.core.instances.get(name)
        return info.location or info.container or name

    def _start_log(self) -> None:
        from backup.system import logs
        from providers.errors import from_os_error

        try:
            logs.set_up(self.paths, "cli", verbose=self.verbose)
        except OSError as error:
            raise from_os_error(error, error.filename or self.paths.state_dir) from None

    def check_state_folder(self) -> None:
        """Raise ProviderError if the state folder, which everything needs, cannot be used."""
        self._start_log()

    def warn_of_broken_configuration(self) -> None:
        from backup.config import file

        problem = file.load(self.paths).problem
        if problem:
            diagnostics.warn(f"{problem.message}. {advice(problem)} Defaults are shown.")


def _report_adoption(adoption: Adoption) -> tuple[str, ...]:
    """Report moved and remaining secrets. Returns those still in the file."""
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
    """`--provider NAME`, and `--passphrase-fd N` for the store of its credentials."""
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
