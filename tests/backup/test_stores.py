"""Credential stores: choosing one, describing it, and moving credentials to another."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend

from backup.config import file
from backup.core import credential_list
from backup.core.core import Core
from backup.credentials import Credentials, CredentialStore, CredentialStoreError, last_used, selection, unlocking
from backup.credentials import choice as store_choice
from backup.credentials.secret_service.collection import CollectionError, WrongKeyringPassword
from backup.credentials.vault import VaultKeyring, unlocked_here, vault_path
from backup.credentials.vault_file.errors import VaultExists, VaultLocked, VaultMissing, WrongPassphrase
from backup.credentials.vault_file.file import VaultFile
from backup.instances import opening
from backup.model.credentials import CredentialState, MoveProgress, MoveStep, StoreBackend, StoreState, YesNo
from backup.queue.client import Queue
from backup.system import redaction
from backup.system.paths import Paths
from providers.errors import Conflict, ProviderError, Unsupported
from providers.remedies import Action, Remedy
from providers.secret import Secret
from tests.backup.vault_tools import CHEAP, PASSPHRASE
from tests.credentials_fixture import SecretService

SOME = Credentials(username="AKIAEXAMPLE", password=Secret("pass-word-1"), extra={"session_token": Secret("t0ken")})
OTHER = Credentials(username="second", password=Secret("pass-word-2"))


@pytest.fixture
def core(paths: Paths) -> Iterator[Core]:
    made = Core(paths)
    yield made
    made.close()
    unlocked_here(vault_path(paths)).lock()


def make_vault(paths: Paths, *, unlocked: bool = True) -> None:
    """Like `create_store`, with a passphrase at test cost."""
    VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE, label="mine")
    with file.edit(paths) as draft:
        draft.choose_store(StoreBackend.VAULT)
    if unlocked:
        VaultKeyring(vault_path(paths)).unlock(PASSPHRASE)


def states(core: Core) -> dict[StoreBackend, StoreState]:
    return {choice.backend: choice.state for choice in core.credentials.choices()}


# Choosing


def test_without_a_bus_nothing_is_stored_and_the_vault_is_offered(core: Core, paths: Paths) -> None:
    assert states(core) == {
        StoreBackend.SECRET_SERVICE: StoreState.UNAVAILABLE,
        StoreBackend.VAULT: StoreState.NO_COLLECTION,
    }
    (offered,) = [choice for choice in core.credentials.choices() if choice.recommended]
    assert (offered.backend, offered.can_create, offered.in_use) == (StoreBackend.VAULT, True, False)
    status = core.credentials.status()
    assert status.state is StoreState.UNAVAILABLE
    assert Remedy(Action.CREATE_VAULT) in status.remedies
    with pytest.raises(CredentialStoreError):
        CredentialStore(paths).set("minio", SOME)
    assert not vault_path(paths).exists()


def test_the_vault_is_created_chosen_and_used(core: Core, paths: Paths) -> None:
    unlocking.create(paths, PASSPHRASE, core.credentials.chosen(), cost=CHEAP)
    assert core.credentials.status().state is StoreState.READY
    assert file.load(paths).store.backend is StoreBackend.VAULT
    CredentialStore(paths).set("minio", SOME)
    assert CredentialStore(paths).get("minio") == SOME
    with pytest.raises(VaultExists):
        core.credentials.create(PASSPHRASE, StoreBackend.VAULT)
    assert core.credentials.lock().state is StoreState.LOCKED
    with pytest.raises(VaultLocked):
        CredentialStore(paths).get("minio")
    with pytest.raises(WrongPassphrase):
        core.credentials.unlock(Secret("not this one"))
    assert core.credentials.unlock(PASSPHRASE).state is StoreState.READY
    unlocking.change_passphrase(paths, StoreBackend.VAULT, PASSPHRASE, Secret("another four words here"), cost=CHEAP)
    core.credentials.lock()
    with pytest.raises(WrongPassphrase):
        core.credentials.unlock(PASSPHRASE)
    core.credentials.unlock(Secret("another four words here"))
    assert CredentialStore(paths).get("minio") == SOME


def test_a_keyring_that_is_ready_is_used_and_becomes_the_choice(
    core: Core, paths: Paths, secret_service: SecretService
) -> None:
    (used,) = [choice for choice in core.credentials.choices() if choice.in_use]
    assert (used.backend, used.pinned, used.recommended) == (StoreBackend.SECRET_SERVICE, False, True)
    CredentialStore(paths).set("minio", SOME)
    assert file.load(paths).store.backend is StoreBackend.SECRET_SERVICE


def test_a_chosen_keyring_that_is_locked_today_is_never_replaced_by_the_vault(
    core: Core, paths: Paths, secret_service: SecretService
) -> None:
    CredentialStore(paths).set("minio", SOME)
    VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE)
    secret_service.lock()
    assert core.credentials.status().state is StoreState.LOCKED
    with pytest.raises(CredentialStoreError) as caught:
        CredentialStore(paths).set("minio", OTHER)
    assert caught.value.code == "locked"
    core.credentials.unlock(Secret("correct horse"))
    assert CredentialStore(paths).get("minio") == SOME


def test_credentials_stored_before_there_was_a_choice_stay_where_they_are(
    core: Core, paths: Paths, secret_service: SecretService
) -> None:
    CredentialStore(paths).set("minio", SOME)
    with file.edit(paths) as draft:
        draft.choose_store(None)  # as written by an earlier version
    VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE)
    secret_service.lock()
    assert core.credentials.status().state is StoreState.LOCKED
    assert core.credentials.chosen() is StoreBackend.SECRET_SERVICE
    with pytest.raises(Conflict, match="kept in the Secret Service"):
        core.credentials.use(StoreBackend.VAULT)


def test_a_locked_keyring_that_was_not_chosen_does_not_hide_a_vault(
    core: Core, paths: Paths, secret_service: SecretService
) -> None:
    secret_service.lock()
    VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE)
    assert core.credentials.chosen() is StoreBackend.VAULT
    assert core.credentials.status().backend.startswith("vault")


@pytest.mark.parametrize("display", ["", ":77"])
def test_a_keyring_is_unlocked_from_the_terminal_with_and_without_a_display(
    core: Core, secret_service: SecretService, display: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if display:
        monkeypatch.setenv("DISPLAY", display)
    secret_service.lock()
    assert core.credentials.status().state is StoreState.LOCKED
    with pytest.raises(WrongKeyringPassword):
        core.credentials.unlock(Secret("wrong"))
    assert core.credentials.unlock(Secret("correct horse")).state is StoreState.READY
    assert core.credentials.lock().state is StoreState.LOCKED


def test_the_default_keyring_is_created_from_the_terminal(
    core: Core, paths: Paths, secret_service_bus: SecretService
) -> None:
    secret_service_bus.start(password=None)
    assert states(core)[StoreBackend.SECRET_SERVICE] is StoreState.NO_COLLECTION
    assert core.credentials.create(PASSPHRASE, StoreBackend.SECRET_SERVICE).state is StoreState.READY
    CredentialStore(paths).set("minio", SOME)
    secret_service_bus.lock()
    core.credentials.unlock(PASSPHRASE)
    assert CredentialStore(paths).get("minio") == SOME


def test_a_hung_keyring_delays_by_its_probe_and_no_more(
    core: Core, paths: Paths, secret_service: SecretService
) -> None:
    secret_service.freeze()
    make_vault(paths)
    with file.edit(paths) as draft:
        draft.choose_store(None)
    started = time.monotonic()
    backend = selection.choose(paths, probe_s=0.3)
    assert selection.kind_of(backend) is StoreBackend.VAULT
    assert time.monotonic() - started < 2.5
    with pytest.raises(CollectionError):
        unlocking.unlock(paths, PASSPHRASE, StoreBackend.SECRET_SERVICE, timeout_s=0.3)


def test_the_credentials_screen_waits_once_for_a_hung_keyring(
    paths: Paths, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is pinned: the choice uses the result of the first probe, and there is no second one."""
    secret_service.freeze()
    probes: list[float] = []

    def counted(backend: KeyringBackend, timeout_s: float) -> CredentialStoreError | None:
        probes.append(timeout_s)
        return real(backend, timeout_s)

    real = selection.probe
    monkeypatch.setattr(selection, "probe", counted)
    facts = credential_list.facts(paths, CredentialStore(paths, timeout_s=0.3), Queue(paths))
    assert (facts.status.state, facts.backend) == (StoreState.HUNG, None)
    assert probes == [0.3]
    with file.edit(paths) as draft:
        draft.choose_store(StoreBackend.SECRET_SERVICE)
    assert store_choice.chosen(paths) is StoreBackend.SECRET_SERVICE
    assert probes == [0.3]  # a pinned store is not probed for existence


def test_a_keychain_is_not_available_on_linux(core: Core) -> None:
    with pytest.raises(Unsupported):
        core.credentials.use(StoreBackend.KEYCHAIN)
    with pytest.raises(Unsupported):
        core.credentials.move(StoreBackend.KEYCHAIN)
    core.credentials.use(StoreBackend.SECRET_SERVICE)
    with pytest.raises(Unsupported, match="vault"):
        core.credentials.change_passphrase(PASSPHRASE, PASSPHRASE)


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"backend": "plaintext"}, "credential_store.backend"),
        ({"password_command": "pass show x"}, "credential_store.password_command"),
        ({"key_file": 3}, "credential_store.key_file"),
        ([], "credential_store"),
    ],
)
def test_a_wrong_choice_in_the_file_is_named(paths: Paths, section: object, named: str) -> None:
    paths.config_dir.mkdir(parents=True)
    paths.config_file.write_text(json.dumps({"version": 1, "credential_store": section}, indent=1))
    problem = file.load(paths).problem
    assert problem is not None
    assert named in problem.message
    assert "line" in problem.message


# Descriptions


def test_the_screen_describes_a_vault_plainly(core: Core, paths: Paths) -> None:
    make_vault(paths)
    with file.edit(paths) as draft:
        draft.add("minio", "aws_s3")
    CredentialStore(paths).set("minio", SOME, expires_at=time.time() + 86400)
    facts = core.credentials.facts()
    assert (facts.backend, facts.path, facts.pinned) == (StoreBackend.VAULT, str(vault_path(paths)), True)
    answers = {fact.question: fact.answer for fact in facts.facts}
    assert answers["survives a reboot"] is YesNo.YES
    assert answers["works for scheduled jobs"] is YesNo.PARTLY
    assert answers["protects against other processes of yours"] is YesNo.NO
    assert answers["protects against root"] is YesNo.NO
    assert [fact.why[-1] for fact in facts.facts if fact.remedies] == ["."]  # the remedy is a sentence of its own
    (entry,) = facts.credentials
    assert (entry.key, entry.instances, entry.state) == ("minio", ("minio",), CredentialState.EXPIRING)
    assert entry.fields == ("password", "session_token")
    assert [(slot.kind, slot.label) for slot in facts.slots] == [("passphrase", "mine")]
    assert "pass-word-1" not in repr(facts)
    with file.edit(paths) as draft:
        draft.open_store_with(key_file="/root/key")
    answers = {fact.question: fact.answer for fact in core.credentials.facts().facts}
    assert answers["works for scheduled jobs"] is YesNo.YES
    assert answers["protects against stolen files"] is YesNo.PARTLY


def test_a_missing_credential_is_reported(core: Core, paths: Paths) -> None:
    with file.edit(paths) as draft:
        draft.add("minio", "aws_s3")
    assert [(entry.key, entry.state) for entry in core.credentials.all()] == [("minio", CredentialState.MISSING)]


def test_last_use_is_noted_when_a_provider_is_opened(core: Core, paths: Paths) -> None:
    make_vault(paths)
    with file.edit(paths) as draft:
        draft.add("minio", "aws_s3")
        draft.set("minio", "container", "bucket")
    CredentialStore(paths).set("minio", SOME)
    assert core.credentials.all()[0].last_used_at is None
    before = file.load(paths)
    opening.open_provider(paths, "minio").close()
    used = core.credentials.all()[0].last_used_at
    assert used is not None
    assert abs(used - time.time()) < 30
    assert file.load(paths) == before  # unchanged, or all processes would open it again
    last_used.note(paths, "minio", now=used + 30)
    assert last_used.last_used(paths)["minio"] == used
    (paths.state_dir / "credential-use.json").write_text("broken")
    assert last_used.last_used(paths) == {}


# One token, refreshed by two


def _refresh(home: str, name: str, start: object, done: object) -> None:
    """Another process opens the provider's context, and swaps the old token for its own new one."""
    paths = Paths(*(Path(home) / part for part in ("config", "state", "data")))
    VaultKeyring(vault_path(paths)).unlock(PASSPHRASE)
    start.wait(20)  # type: ignore[attr-defined]
    swapped = CredentialStore(paths).swap("drive", Secret("old-token"), Secret(f"new-of-{name}"))
    done.put((name, swapped))  # type: ignore[attr-defined]


def test_two_processes_that_refresh_one_token_cannot_lose_it(tmp_path: Path) -> None:
    paths = Paths(*(tmp_path / part for part in ("config", "state", "data")))
    make_vault(paths)
    store = CredentialStore(paths)
    store.set("drive", Credentials(extra={"refresh_token": Secret("old-token"), "client_secret": Secret("stays")}))
    revision = file.load(paths).credentials["drive"].revision
    context = multiprocessing.get_context("spawn")
    start, done = context.Event(), context.Queue()
    workers = [context.Process(target=_refresh, args=(str(tmp_path), name, start, done)) for name in "ab"]
    for worker in workers:
        worker.start()
    start.set()
    outcomes = dict(done.get(timeout=30) for _ in workers)
    for worker in workers:
        worker.join(20)
    assert sorted(outcomes.values()) == [False, True]
    (winner,) = [name for name, swapped in outcomes.items() if swapped]
    kept = store.get("drive")
    assert kept is not None
    assert kept.extra == {"refresh_token": Secret(f"new-of-{winner}"), "client_secret": Secret("stays")}
    assert file.load(paths).credentials["drive"].revision == revision  # a passed check stays valid
    unlocking.lock(paths, StoreBackend.VAULT)


def test_a_provider_stores_the_token_it_got_in_exchange(core: Core, paths: Paths) -> None:
    make_vault(paths)
    with file.edit(paths) as draft:
        draft.add("minio", "aws_s3")
        draft.set("minio", "container", "bucket")
    CredentialStore(paths).set("minio", SOME)
    provider = opening.open_provider(paths, "minio")
    assert provider.context.save_secret(Secret("t0ken"), Secret("fresh")) is True
    assert provider.context.save_secret(Secret("t0ken"), Secret("late")) is False
    provider.close()
    kept = CredentialStore(paths).get("minio")
    assert kept is not None
    assert kept.extra["session_token"] == Secret("fresh")
    draft_provider = opening.open_draft(paths, "aws_s3", {"region": "eu-1"}, {}, instance="minio")
    assert draft_provider.context.save_secret(Secret("fresh"), Secret("newer")) is True
    draft_provider.close()


# Moving


@pytest.fixture
def moved_from_keyring(core: Core, paths: Paths, secret_service: SecretService) -> Paths:
    """Two credentials in the keyring, and an open vault."""
    store = CredentialStore(paths)
    store.set("minio", SOME)
    store.set("offsite", OTHER)
    VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE)
    VaultKeyring(vault_path(paths)).unlock(PASSPHRASE)
    return paths


def in_store(paths: Paths, kind: StoreBackend) -> dict[str, Credentials | None]:
    store = CredentialStore(paths, backend=lambda: selection.make(paths, kind))
    return {key: store.get(key) for key in ("minio", "offsite")}


BOTH = {"minio": SOME, "offsite": OTHER}
NONE: dict[str, Credentials | None] = {"minio": None, "offsite": None}


def test_moving_copies_compares_switches_and_deletes_after_a_question(core: Core, moved_from_keyring: Paths) -> None:
    paths, steps, asked = moved_from_keyring, [], []

    def confirm() -> bool:
        asked.append(file.load(paths).store.backend)
        return True

    def seen(progress: MoveProgress) -> None:
        steps.append(progress.step)

    result = core.credentials.move(StoreBackend.VAULT, confirm_delete=confirm, on_progress=seen)
    assert (result.moved, result.deleted, result.copies_left) == (("minio", "offsite"), ("minio", "offsite"), False)
    assert asked == [StoreBackend.VAULT]  # the switch came first
    assert list(dict.fromkeys(steps)) == [MoveStep.COPY, MoveStep.COMPARE, MoveStep.SWITCH, MoveStep.DELETE]
    assert in_store(paths, StoreBackend.VAULT) == BOTH
    assert in_store(paths, StoreBackend.SECRET_SERVICE) == NONE
    assert CredentialStore(paths).get("minio") == SOME
    assert file.load(paths).store.left_in is None
    back = core.credentials.move(StoreBackend.SECRET_SERVICE, confirm_delete=lambda: True)
    assert back.copies_left is False
    assert in_store(paths, StoreBackend.SECRET_SERVICE) == BOTH


def test_copies_that_were_not_deleted_are_remembered_and_deleted_later(core: Core, moved_from_keyring: Paths) -> None:
    paths = moved_from_keyring
    assert core.credentials.move(StoreBackend.VAULT).copies_left is True
    assert in_store(paths, StoreBackend.SECRET_SERVICE) == BOTH
    assert core.credentials.facts().left_in is StoreBackend.SECRET_SERVICE
    again = core.credentials.move(StoreBackend.VAULT, confirm_delete=lambda: True)
    assert (again.moved, again.deleted) == ((), ("minio", "offsite"))
    assert in_store(paths, StoreBackend.SECRET_SERVICE) == NONE
    assert core.credentials.facts().left_in is None
    with pytest.raises(Conflict):
        core.credentials.move(StoreBackend.VAULT)


class Interrupted(BaseException):
    pass


@pytest.mark.few(3)
@pytest.mark.parametrize("at", range(8))
def test_a_move_interrupted_at_any_moment_loses_nothing_and_continues(
    core: Core, moved_from_keyring: Paths, at: int
) -> None:
    paths = moved_from_keyring
    seen = 0

    def interrupt(progress: MoveProgress) -> None:
        nonlocal seen
        seen += 1
        if seen > at:
            raise Interrupted

    try:
        core.credentials.move(StoreBackend.VAULT, confirm_delete=lambda: True, on_progress=interrupt)
    except Interrupted:
        used = file.load(paths).store.backend
        assert used is not None
        assert in_store(paths, used) == BOTH  # the store in use is complete at every moment
        assert {key: CredentialStore(paths).get(key) for key in BOTH} == BOTH
        core.credentials.move(StoreBackend.VAULT, confirm_delete=lambda: True)
    assert in_store(paths, StoreBackend.VAULT) == BOTH
    assert in_store(paths, StoreBackend.SECRET_SERVICE) == NONE


def test_a_change_by_another_process_during_the_copy_is_not_lost(core: Core, moved_from_keyring: Paths) -> None:
    paths = moved_from_keyring
    late = Credentials(username="late", password=Secret("set-meanwhile"))

    def meddle(progress: MoveProgress) -> None:
        if progress.step is MoveStep.COPY and progress.key == "offsite":
            CredentialStore(paths).set("minio", late)  # copied already

    core.credentials.move(StoreBackend.VAULT, on_progress=meddle)
    assert CredentialStore(paths).get("minio") == late


def test_a_target_that_is_not_ready_changes_nothing(core: Core, moved_from_keyring: Paths) -> None:
    paths = moved_from_keyring
    unlocking.lock(paths, StoreBackend.VAULT)
    with pytest.raises(VaultLocked):
        core.credentials.move(StoreBackend.VAULT)
    asked: list[int] = []

    def ask() -> Secret:
        asked.append(1)
        return PASSPHRASE

    assert core.credentials.move(StoreBackend.VAULT, ask=ask).copies_left is True
    assert asked == [1]


def test_an_entry_missing_in_the_source_stops_the_move_before_the_switch(core: Core, moved_from_keyring: Paths) -> None:
    paths = moved_from_keyring
    CredentialStore(paths).erase("offsite")
    with pytest.raises(CredentialStoreError, match="offsite"):
        core.credentials.move(StoreBackend.VAULT)
    assert file.load(paths).store.backend is StoreBackend.SECRET_SERVICE


def test_a_vanished_vault_is_reported(core: Core, paths: Paths) -> None:
    make_vault(paths)
    vault_path(paths).unlink()
    with pytest.raises(VaultMissing):
        CredentialStore(paths).get("minio")
    assert core.credentials.status().state is StoreState.NO_COLLECTION


def test_opening_by_asking_gives_three_tries(core: Core, paths: Paths) -> None:
    make_vault(paths, unlocked=False)
    answers = iter(["no", "nor this", PASSPHRASE.reveal()])
    core.credentials.open(lambda: Secret(next(answers)))
    assert core.credentials.status().state is StoreState.READY
    core.credentials.lock()
    with pytest.raises(WrongPassphrase):
        core.credentials.open(lambda: Secret("never right"))


def test_passphrases_are_redacted_in_logs(core: Core, paths: Paths) -> None:
    make_vault(paths, unlocked=False)
    core.credentials.unlock(PASSPHRASE)
    assert PASSPHRASE.reveal() not in redaction.redact(f"typed {PASSPHRASE.reveal()} here")
    with pytest.raises(ProviderError) as caught:
        core.credentials.unlock(Secret("a wrong one that is secret too"))
    assert "secret too" not in repr(caught.value) + str(caught.value) + caught.value.hint
