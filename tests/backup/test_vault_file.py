"""The vault's file: what it keeps, what it notices, and that nothing is lost on the way."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import CryptoError

from backup.credentials import vault_errors, vault_format
from backup.credentials.errors import CredentialStoreError
from backup.credentials.vault_file import DataKey, RawKey, SlotKind, VaultFile
from backup.credentials.vault_slots import DEAREST, MODERATE, KdfCost
from backup.model import StoreState
from providers.errors import from_wire
from providers.report import ErrorInfo
from providers.secret import Secret
from tests.backup.vault_tools import PASSPHRASE, first_slot_with, forge, header_with, new_vault, vault_at

# What it keeps


def test_an_entry_is_read_back_in_another_process_with_the_passphrase(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    vault.set(key, "service", "user", "canary-pässword \udcff")
    again = vault_at(tmp_path)
    opened = again.open(PASSPHRASE)
    assert again.get(opened, "service", "user") == "canary-pässword \udcff"
    assert again.get(opened, "service", "another") is None
    assert again.remove(opened, "service", "user") is True
    assert again.remove(opened, "service", "user") is False
    assert vault.entries(key) == {}


def test_file_and_folder_are_the_owners_alone_and_show_neither_names_nor_secrets(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        vault, key = new_vault(tmp_path)
    finally:
        os.umask(old)
    vault.set(key, "canary-service", "canary-user", "canary-secret")
    assert stat.S_IMODE(vault.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(vault.path.parent.stat().st_mode) == 0o700
    written = b"".join(path.read_bytes() for path in vault.path.parent.iterdir())
    assert b"canary" not in written
    assert key.reveal() not in written


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(vault_errors.VaultNotWritten, match="others may write"):
        vault_at(tmp_path).create(PASSPHRASE)
    assert list(folder.iterdir()) == []


_names = st.sampled_from(["a", "b", "homeserver-backup:minio", "ß", ""])
_secrets = st.text(max_size=20)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), _names, _names, _secrets),
        st.tuples(st.just("remove"), _names, _names, st.just("")),
        st.tuples(st.just("reopen"), st.just(""), st.just(""), st.just("")),
        st.tuples(st.just("passphrase"), st.just(""), st.just(""), st.text(min_size=1, max_size=8)),
        st.tuples(st.just("slot"), st.just(""), st.just(""), st.just("")),
        st.tuples(st.just("renew"), st.just(""), st.just(""), st.just("")),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(_steps)
def test_any_sequence_of_operations_leaves_what_a_dict_would_hold(steps: list[tuple[str, str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        vault, key = new_vault(Path(folder))
        model: dict[tuple[str, str], str] = {}
        passphrase = PASSPHRASE
        raw: RawKey | None = None
        for what, service, user, text in steps:
            match what:
                case "set":
                    vault.set(key, service, user, text)
                    model[service, user] = text
                case "remove":
                    assert vault.remove(key, service, user) == (model.pop((service, user), None) is not None)
                case "reopen":
                    key = vault.open(raw or passphrase)
                case "passphrase":
                    vault.change_passphrase(passphrase, Secret(text))
                    passphrase = Secret(text)
                case "slot" if raw is None:
                    raw = RawKey.generate()
                    vault.add_slot(key, raw)
                case "renew":
                    key = vault.renew_key(key, [passphrase, raw] if raw else [passphrase])
            assert vault.entries(key) == model
        assert vault.entries(vault.open(passphrase)) == model


# What opens it


def test_wrong_passphrase_and_wrong_key_are_told_apart_and_nothing_is_lost(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    vault.set(key, "s", "u", "kept")
    with pytest.raises(vault_errors.WrongPassphrase) as raised:
        vault.open(Secret("canary-wrong"))
    assert "canary" not in repr(raised.value) + str(raised.value) + raised.value.hint
    assert "No backup is lost" in raised.value.hint
    with pytest.raises(vault_errors.WrongKey):
        vault.open(RawKey.generate())
    assert vault.get(vault.open(PASSPHRASE), "s", "u") == "kept"


def test_one_spelling_of_the_same_letters_is_as_good_as_another(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    vault.create(Secret("caf\u00e9"))
    assert vault.open(Secret("cafe\u0301"))


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(vault_errors.SlotRefused):
        vault_at(tmp_path).create(Secret(""))
    assert not vault_at(tmp_path).exists()


def test_slots_are_added_listed_and_taken_away_but_never_the_last(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    vault.set(key, "s", "u", "kept")
    raw = RawKey.generate()
    added = vault.add_slot(key, raw, label="nightly job")
    assert [(slot.kind, slot.label) for slot in vault.describe().slots] == [
        (SlotKind.PASSPHRASE, "mine"),
        (SlotKind.KEY, "nightly job"),
    ]
    assert vault.get(vault.open(raw), "s", "u") == "kept"
    first = vault.describe().slots[0]
    vault.remove_slot(key, first.id)
    with pytest.raises(vault_errors.WrongPassphrase):
        vault.open(PASSPHRASE)
    with pytest.raises(vault_errors.SlotRefused, match="last one"):
        vault.remove_slot(key, added.id)
    with pytest.raises(vault_errors.SlotRefused, match="no slot"):
        vault.remove_slot(key, first.id)
    assert vault.get(vault.open(raw), "s", "u") == "kept"


def test_there_are_at_most_eight_slots(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    for _ in range(7):
        vault.add_slot(key, RawKey.generate())
    with pytest.raises(vault_errors.SlotRefused, match="at most 8"):
        vault.add_slot(key, RawKey.generate())


def test_changing_the_passphrase_keeps_entries_other_slots_and_open_vaults(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    raw = RawKey.generate()
    vault.add_slot(key, raw)
    vault.set(key, "s", "u", "kept")
    with pytest.raises(vault_errors.WrongPassphrase):
        vault.change_passphrase(Secret("not it"), Secret("new"))
    changed = vault.change_passphrase(PASSPHRASE, Secret("new"))
    assert changed.label == "mine"
    with pytest.raises(vault_errors.WrongPassphrase):
        vault.open(PASSPHRASE)
    for opened in (vault.open(Secret("new")), vault.open(raw), key):
        assert vault.get(opened, "s", "u") == "kept"


def test_renewing_the_data_key_shuts_out_whoever_held_the_old_one(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    raw = RawKey.generate()
    vault.add_slot(key, raw, label="nightly")
    vault.set(key, "s", "u", "kept")
    with pytest.raises(vault_errors.SlotRefused, match="nightly"):
        vault.renew_key(key, [PASSPHRASE])
    with pytest.raises(vault_errors.WrongPassphrase):
        vault.renew_key(key, [Secret("not it"), raw])
    renewed = vault.renew_key(key, [PASSPHRASE, raw])
    with pytest.raises(vault_errors.VaultLocked, match="renewed"):
        vault.get(key, "s", "u")
    with pytest.raises(vault_errors.VaultLocked):
        vault.set(key, "s", "u", "by the old key")
    assert {vault.get(vault.open(opener), "s", "u") for opener in (PASSPHRASE, raw)} == {"kept"}
    only = vault.renew_key(renewed, [raw], drop_others=True)
    with pytest.raises(vault_errors.WrongPassphrase):
        vault.open(PASSPHRASE)
    assert vault.get(only, "s", "u") == "kept"


def test_the_default_cost_is_moderate_and_dear_slots_are_refused_before_any_work(tmp_path: Path) -> None:
    assert (MODERATE.operations, MODERATE.memory_bytes) == (3, 256 * 2**20)
    vault, _ = new_vault(tmp_path)
    good = vault.path.read_bytes()
    for cost in (
        KdfCost(operations=1, memory_bytes=DEAREST.memory_bytes + 1),
        KdfCost(operations=DEAREST.operations + 1, memory_bytes=8192),
        KdfCost(operations=2**40, memory_bytes=2**50),
    ):
        vault.path.write_bytes(good)
        forged = forge(vault, first_slot_with(cost=cost))
        with pytest.raises(vault_errors.VaultTooCostly):
            vault.open(PASSPHRASE)
        assert vault.path.read_bytes() == forged


@pytest.mark.parametrize(
    "cost", [KdfCost(operations=0, memory_bytes=8192), KdfCost(operations=1, memory_bytes=-5), None]
)
def test_impossible_costs_are_damage_not_a_crash(tmp_path: Path, cost: KdfCost | None) -> None:
    vault, _ = new_vault(tmp_path)
    forge(vault, first_slot_with(cost=cost))
    with pytest.raises(vault_errors.VaultDamaged):
        vault.open(PASSPHRASE)


def test_too_little_memory_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault, _ = new_vault(tmp_path)

    def out_of_memory(*_: object) -> bytes:
        raise CryptoError("Unexpected failure in key derivation")

    monkeypatch.setattr(bindings, "crypto_pwhash_alg", out_of_memory)
    with pytest.raises(vault_errors.VaultNotReadable, match="memory"):
        vault.open(PASSPHRASE)


# What it notices


def _assert_refused_and_untouched(vault: VaultFile, key: DataKey, error: type[vault_errors.VaultError]) -> None:
    before = vault.path.read_bytes()
    for use in (
        lambda: vault.get(key, "s", "u"),
        lambda: vault.set(key, "s", "u", "new"),
        lambda: vault.remove(key, "s", "u"),
        lambda: vault.add_slot(key, RawKey.generate()),
    ):
        with pytest.raises(error):
            use()
    with pytest.raises(vault_errors.VaultExists):
        vault.create(PASSPHRASE)
    assert vault.path.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        header_with(generation=99),
        lambda document: header_with(slots=document.header.slots[:1])(document),
        lambda document: msgspec.structs.replace(document, body=bytes([document.body[0] ^ 1]) + document.body[1:]),
        lambda document: msgspec.structs.replace(document, body=document.body[:-1]),
        lambda document: msgspec.structs.replace(document, body=b""),
        lambda document: msgspec.structs.replace(document, nonce=bytes(24)),
        first_slot_with(label="another"),
        first_slot_with(sealed=bytes(48)),
        first_slot_with(salt=bytes(16)),
    ],
)
def test_whoever_edits_the_file_without_a_key_is_noticed(tmp_path: Path, change) -> None:
    vault, key = new_vault(tmp_path)
    vault.add_slot(key, RawKey.generate())
    vault.set(key, "s", "u", "kept")
    forge(vault, change)
    _assert_refused_and_untouched(vault, key, vault_errors.VaultTampered)


@pytest.mark.parametrize("changes", [{"label": "x"}, {"sealed": bytes(48)}, {"created_at": 1}, {"id": "0"}])
def test_an_altered_slot_is_not_mistaken_for_a_wrong_passphrase(tmp_path: Path, changes: dict[str, object]) -> None:
    vault, _ = new_vault(tmp_path)
    forge(vault, first_slot_with(**changes))
    with pytest.raises(vault_errors.VaultTampered, match="altered"):
        vault.open(PASSPHRASE)


def test_a_slot_of_another_vault_does_not_open_this_one(tmp_path: Path) -> None:
    vault, _ = new_vault(tmp_path)
    other, _ = new_vault(tmp_path / "other")
    theirs = vault_format.decode(other.path.read_bytes()).header.slots
    forge(vault, header_with(slots=theirs))
    with pytest.raises(vault_errors.VaultTampered):
        vault.open(PASSPHRASE)


def test_a_vault_put_in_place_of_another_is_locked_to_the_old_key(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    other, _ = new_vault(tmp_path / "other")
    vault.path.write_bytes(other.path.read_bytes())
    _assert_refused_and_untouched(vault, key, vault_errors.VaultLocked)


def test_an_older_vault_is_noticed_until_it_is_opened_anew(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    vault.set(key, "s", "u", "old")
    old = vault.path.read_bytes()
    vault.set(key, "s", "u", "new")
    vault.path.write_bytes(old)
    _assert_refused_and_untouched(vault, key, vault_errors.VaultRolledBack)
    assert vault.get(vault.open(PASSPHRASE), "s", "u") == "old"


def test_a_file_cut_anywhere_is_truncated_and_left_alone(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    whole = vault.path.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        vault.path.write_bytes(whole[:length])
        with pytest.raises(vault_errors.VaultTruncated):
            vault.get(key, "s", "u")
    _assert_refused_and_untouched(vault, key, vault_errors.VaultTruncated)
    vault.path.write_bytes(whole)
    assert vault.entries(key) == {}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_no_flipped_bit_goes_unseen(tmp_path: Path, position: int, bit: int) -> None:
    vault = vault_at(tmp_path)
    saved = tmp_path / "whole"
    if not vault.exists():
        key = vault.create(PASSPHRASE)
        vault.set(key, "s", "u", "kept")
        saved.write_bytes(vault.path.read_bytes())
    whole = bytearray(saved.read_bytes())
    whole[position % len(whole)] ^= 1 << bit
    vault.path.write_bytes(whole)
    try:
        document = vault.entries(vault.open(PASSPHRASE))
    except (
        vault_errors.VaultTruncated,
        vault_errors.VaultDamaged,
        vault_errors.VaultTooNew,
    ):
        return
    assert document == {("s", "u"): "kept"}  # white space between the values


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", vault_errors.VaultTruncated),
        (b"not a vault at all", vault_errors.VaultTruncated),
        (b"{}", vault_errors.VaultDamaged),
        (b"[1]}", vault_errors.VaultDamaged),
        (b"\xff\xfe}", vault_errors.VaultDamaged),
        (b'{"header": {"format": "other", "version": 1}}', vault_errors.VaultDamaged),
        (b'{"header": {"format": "homeserver-backup-vault", "version": 2, "new": 1}}', vault_errors.VaultTooNew),
        (b'{"header": {"format": "homeserver-backup-vault", "version": 0}}', vault_errors.VaultDamaged),
        (
            b'{"header": {"format": "homeserver-backup-vault", "version": 1, "slots": "canary"}}',
            vault_errors.VaultDamaged,
        ),
        (b" " * (16 * 2**20) + b"}", vault_errors.VaultDamaged),
    ],
)
def test_what_is_no_vault_of_ours_is_never_overwritten(
    tmp_path: Path, data: bytes, error: type[vault_errors.VaultError]
) -> None:
    vault, key = new_vault(tmp_path)
    vault.path.write_bytes(data)
    with pytest.raises(error) as raised:
        vault.open(PASSPHRASE)
    assert "canary" not in str(raised.value)
    _assert_refused_and_untouched(vault, key, error)


def test_no_vault_is_its_own_error_and_makes_nothing(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    key = DataKey.generate()
    for use in (vault.describe, lambda: vault.open(PASSPHRASE), lambda: vault.set(key, "s", "u", "x")):
        with pytest.raises(vault_errors.VaultMissing):
            use()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_its_place_is_not_readable(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    vault.path.mkdir(parents=True)
    with pytest.raises(vault_errors.VaultNotReadable):
        vault.open(PASSPHRASE)


def test_every_error_has_a_kind_of_its_own_a_cure_and_a_state_of_the_store() -> None:
    family: list[type[vault_errors.VaultError]] = [vault_errors.VaultError, *vault_errors.VaultError.__subclasses__()]
    assert len({cls.kind for cls in family}) == len(family)
    for cls in family:
        error = cls("what happened")
        assert error.hint
        assert StoreState(error.code)
        assert isinstance(error, CredentialStoreError)
        rebuilt = from_wire(cls.kind, error.message, hint=error.hint, code=error.code)
        assert (type(rebuilt), ErrorInfo.of(rebuilt)) == (cls, ErrorInfo.of(error))


def test_keys_do_not_show_themselves() -> None:
    raw, key = RawKey.generate(), DataKey.generate()
    for secret in (raw, key):
        assert str(secret) == repr(secret)
        assert "••" in repr(secret)
        with pytest.raises(TypeError):
            pickle.dumps(secret)


def test_a_raw_key_is_read_as_bytes_or_base64_and_nothing_else() -> None:
    raw = RawKey.generate()
    assert RawKey.parse(raw.reveal()).reveal() == raw.reveal()
    assert RawKey.parse(raw.text().reveal().encode() + b"\n").reveal() == raw.reveal()
    for wrong in (b"", b"canary", raw.reveal()[:-1], raw.text().reveal().encode()[:-4]):
        with pytest.raises(vault_errors.WrongKey) as raised:
            RawKey.parse(wrong)
        assert "canary" not in str(raised.value)


def test_a_handed_over_key_opens_the_same_vault_and_knows_its_generation(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    old = vault.path.read_bytes()
    vault.set(key, "s", "u", "kept")
    taken = DataKey.taken(key.handover())
    assert vault.get(taken, "s", "u") == "kept"
    vault.path.write_bytes(old)
    with pytest.raises(vault_errors.VaultRolledBack):
        vault.get(taken, "s", "u")
    for wrong in ("", "canary", "YWJj"):
        with pytest.raises(vault_errors.WrongKey):
            DataKey.taken(Secret(wrong))


# Nothing is lost on the way


class _Fails:
    """Has the n-th call into the system fail, as a full or broken disk would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.calls = 0
        self._at = at
        for module, name in ((tempfile, "mkstemp"), (os, "fdopen"), (os, "fsync"), (os, "replace"), (os, "open")):
            monkeypatch.setattr(module, name, self._wrapped(getattr(module, name)))

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self._at:
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        return call


def test_a_disk_that_fails_at_any_step_leaves_the_old_vault_or_the_new_one(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    vault.set(key, "s", "u", "0")
    outcomes = set()
    for at in range(1, 50):
        with pytest.MonkeyPatch.context() as patch:
            fails = _Fails(patch, at)
            before = vault.entries(key)["s", "u"]
            with contextlib.suppress(vault_errors.VaultNotWritten):
                vault.set(key, "s", "u", str(at))
            done = fails.calls < at
        now = vault.entries(vault.open(PASSPHRASE))["s", "u"]
        assert now in (before, str(at))
        outcomes.add(now == before)
        vault.set(key, "t", "u", "still works")
        assert not [path for path in vault.path.parent.iterdir() if path.name.startswith(".vault.json.")]
        if done:
            break
    else:
        pytest.fail("there was no end of steps")
    assert outcomes == {True, False}


_WRITER = """
import sys
from pathlib import Path
from backup.credentials.vault_file import RawKey, VaultFile
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
vault = VaultFile(path)
key = vault.open(RawKey.parse(sys.stdin.buffer.read()))
for number in range(count):
    vault.set(key, name, str(number), name * 50)
    print(number, flush=True)
"""


def _writer(vault: VaultFile, raw: RawKey, name: str, count: int) -> subprocess.Popen[bytes]:
    reading, writing = os.pipe()
    os.write(writing, raw.reveal())
    os.close(writing)
    command = [sys.executable, "-c", _WRITER, str(vault.path), name, str(count)]
    process = subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE)
    os.close(reading)
    return process


def test_two_processes_and_a_thread_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    raw = RawKey.generate()
    vault.add_slot(key, raw)
    writers = [_writer(vault, raw, name, 25) for name in ("one", "two")]

    def write() -> None:
        for number in range(25):
            vault.set(key, "thread", str(number), "x")

    thread = threading.Thread(target=write)
    thread.start()
    for number in range(25):
        vault.set(key, "here", str(number), "x")
    thread.join(30)
    for process in writers:
        with process:
            process.communicate(timeout=30)
        assert process.returncode == 0
    names = ("one", "two", "thread", "here")
    assert set(vault.entries(key)) == {(name, str(number)) for name in names for number in range(25)}
    assert vault.describe().generation == 2 + 4 * 25


def test_a_writer_that_is_killed_loses_nothing_it_had_confirmed(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    raw = RawKey.generate()
    vault.add_slot(key, raw)
    for attempt in range(3):
        process = _writer(vault, raw, f"run{attempt}", 10_000)
        assert process.stdout is not None
        confirmed = [int(process.stdout.readline()) for _ in range(3 + 7 * attempt)][-1]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
        entries = vault.entries(vault.open(PASSPHRASE))
        assert {(f"run{attempt}", str(number)) for number in range(confirmed + 1)} <= set(entries)
    vault.set(key, "after", "u", "x")
    assert not [path for path in vault.path.parent.iterdir() if path.name.startswith(".vault.json.")]


def test_a_lock_that_is_never_given_back_is_told(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    impatient = vault_at(tmp_path, lock_timeout_s=0.1)
    with vault._locked(), pytest.raises(vault_errors.VaultBusy):
        impatient.set(key, "s", "u", "x")
    assert impatient.get(key, "s", "u") is None
    assert impatient.open(PASSPHRASE)
