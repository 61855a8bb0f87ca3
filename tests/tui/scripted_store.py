"""A scripted credential store: a keyring and a vault in memory, in states that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from backup.credentials.secret_service.collection import WrongKeyringPassword
from backup.credentials.vault_file.errors import WrongPassphrase
from backup.model.credentials import (
    TITLES,
    CredentialFact,
    CredentialState,
    MoveProgress,
    MoveResult,
    MoveStep,
    StoreBackend,
    StoreChoice,
    StoreFact,
    StoreFacts,
    StoreState,
    StoreStatus,
    YesNo,
)
from providers.errors import Conflict, ProviderError
from providers.secret import Secret
from tests.tui.scripted import ScriptedCore

PASSPHRASE = "marble tractor violin quiet"
KIT_CANARY = "canary-k1t-0n-paper"
_FACTS = (
    StoreFact(question="survives a reboot", answer=YesNo.YES, why="the file does"),
    StoreFact(question="works for scheduled jobs", answer=YesNo.PARTLY, why="while a worker has the key"),
    StoreFact(question="protects against stolen files", answer=YesNo.YES, why="it is encrypted"),
    StoreFact(question="protects against other processes of yours", answer=YesNo.NO, why="they run as you"),
    StoreFact(question="protects against root", answer=YesNo.NO, why="root reads all"),
)


class StoreScript(ScriptedCore):
    """`states` is by backend; `in_use` is the backend that the console shows. Typed secrets are in `typed`."""

    def __init__(self, **states: StoreState) -> None:
        super().__init__()
        self.states = {StoreBackend(name): state for name, state in states.items()}
        self.in_use: StoreBackend | None = next(iter(self.states), None)
        self.left_in: StoreBackend | None = None
        self.known_credentials: list[CredentialFact] = [
            CredentialFact(key="aws_s3", instances=("aws_s3",), state=CredentialState.SET, fields=("password",))
        ]
        self.typed: list[str] = []
        self.store_refusal: ProviderError | None = None
        """The next call about the store raises it."""
        self.on_step: Callable[[MoveProgress], None] = lambda progress: None

    # What is there

    def store_status(self) -> StoreStatus:
        if self.in_use is None:
            return StoreStatus(state=StoreState.UNAVAILABLE, backend="", detail="has no session bus", hint="Vault.")
        return StoreStatus(state=self.states[self.in_use], backend=TITLES[self.in_use], hint="Unlock it.")

    def open_store(self) -> None:
        self.calls.append(("open_store",))

    def store_choices(self) -> tuple[StoreChoice, ...]:
        return tuple(
            StoreChoice(
                backend=backend,
                title=TITLES[backend],
                state=state,
                detail="gave no answer" if state is StoreState.HUNG else "",
                hint="End it." if state is StoreState.HUNG else "",
                path="/home/x/vault.json" if backend is StoreBackend.VAULT else "",
                in_use=backend is self.in_use,
                recommended=backend is StoreBackend.VAULT,
            )
            for backend, state in self.states.items()
        )

    def store_facts(self) -> StoreFacts:
        return StoreFacts(
            status=self.store_status(),
            backend=self.in_use,
            title=TITLES[self.in_use] if self.in_use else "",
            path="/home/x/vault.json" if self.in_use is StoreBackend.VAULT else "",
            pinned=True,
            facts=_FACTS if self.in_use else (),
            credentials=tuple(self.known_credentials),
            left_in=self.left_in,
        )

    # What is done with it

    def _refuse_store(self) -> None:
        if self.store_refusal is not None:
            refusal, self.store_refusal = self.store_refusal, None
            raise refusal

    def use_store(self, backend: StoreBackend) -> StoreStatus:
        self._refuse_store()
        if self.in_use not in (None, backend) and self.known_credentials:
            raise Conflict("credentials are kept in another store", code="store")
        self.calls.append(("use_store", backend))
        self.in_use = backend
        return self.store_status()

    def unlock_store(self, passphrase: Secret, backend: StoreBackend | None = None) -> StoreStatus:
        self._refuse_store()
        self.typed.append(passphrase.reveal())
        chosen = backend or self.in_use
        assert chosen is not None
        if passphrase.reveal() != PASSPHRASE:
            wrong = WrongPassphrase if chosen is StoreBackend.VAULT else WrongKeyringPassword
            raise wrong("it does not open it")
        self.states[chosen] = StoreState.READY
        return self.store_status()

    def create_store(self, passphrase: Secret, backend: StoreBackend | None = None) -> StoreStatus:
        self._refuse_store()
        self.typed.append(passphrase.reveal())
        chosen = backend or StoreBackend.VAULT
        self.calls.append(("create_store", chosen))
        self.states[chosen] = StoreState.READY
        self.in_use = self.in_use or chosen
        return self.store_status()

    def lock_store(self) -> StoreStatus:
        assert self.in_use is not None
        self.states[self.in_use] = StoreState.LOCKED
        return self.store_status()

    def change_passphrase(self, old: Secret, new: Secret) -> None:
        self._refuse_store()
        self.typed += [old.reveal(), new.reveal()]

    def move_credentials(
        self,
        to: StoreBackend,
        *,
        confirm_delete: Callable[[], bool] = lambda: False,
        on_progress: Callable[[MoveProgress], None] | None = None,
    ) -> MoveResult:
        assert self.in_use is not None
        source, keys = self.in_use, [each.key for each in self.known_credentials]
        for step in (MoveStep.COPY, MoveStep.COMPARE, MoveStep.SWITCH):
            self._step(step, keys, on_progress)
        self.in_use, self.left_in = to, source
        return MoveResult(source=source, to=to, moved=tuple(keys), copies_left=True)

    def remove_copies(self, *, on_progress: Callable[[MoveProgress], None] | None = None) -> tuple[str, ...]:
        keys = [each.key for each in self.known_credentials]
        self._step(MoveStep.DELETE, keys, on_progress)
        self.left_in = None
        self.calls.append(("remove_copies",))
        return tuple(keys)

    def _step(self, step: MoveStep, keys: list[str], on_progress: Callable[[MoveProgress], None] | None) -> None:
        self._refuse_store()
        for done, key in enumerate(keys):
            progress = MoveProgress(step=step, key=key, done=done, total=len(keys))
            self.on_step(progress)
            if on_progress is not None:
                on_progress(progress)

    def remove_credentials(self, name: str) -> bool:
        self.calls.append(("remove_credentials", name))
        self.known_credentials = [
            msgspec.structs.replace(each, state=CredentialState.MISSING, fields=()) for each in self.known_credentials
        ]
        return True

    def recovery_kit(self, names: Any = (), *, columns: int = 80, dark_background: bool = False) -> Secret:
        self._refuse_store()
        self.calls.append(("recovery_kit", columns, dark_background))
        lines = [f"line {number}" for number in range(60)]
        return Secret("\n".join(["RECOVERY KIT", f"secret_key: {KIT_CANARY}", *lines, "the end"]))
