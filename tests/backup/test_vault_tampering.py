"""Edits, cuts, flipped bits and replaced files are noticed by the vault, and such a file is left as it is."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup.credentials.errors import CredentialStoreError
from backup.credentials.vault_file import errors, slots
from backup.credentials.vault_file import format as vault_format
from backup.credentials.vault_file.file import DataKey, RawKey, VaultFile
from backup.model.credentials import StoreState
from providers.contract.report import ErrorInfo
from providers.errors import from_wire
from providers.secret import Secret
from tests.backup.vault_tools import PASSPHRASE, first_slot_with, forge, header_with, new_vault, vault_at


def _assert_refused_and_untouched(vault: VaultFile, key: DataKey, error: type[errors.VaultError]) -> None:
    before = vault.path.read_bytes()
    for use in (
        lambda: vault.get(key, "s", "u"),
        lambda: vault.set(key, "s", "u", "new"),
        lambda: vault.remove(key, "s", "u"),
        lambda: vault.add_slot(key, RawKey.generate()),
    ):
        with pytest.raises(error):
            use()
    with pytest.raises(errors.VaultExists):
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
def test_edits_of_the_file_without_a_key_are_noticed(tmp_path: Path, change) -> None:
    vault, key = new_vault(tmp_path)
    vault.add_slot(key, RawKey.generate())
    vault.set(key, "s", "u", "kept")
    forge(vault, change)
    _assert_refused_and_untouched(vault, key, errors.VaultTampered)


@pytest.mark.parametrize("changes", [{"label": "x"}, {"sealed": bytes(48)}, {"created_at": 1}, {"id": "0"}])
def test_an_altered_slot_is_not_mistaken_for_a_wrong_passphrase(tmp_path: Path, changes: dict[str, object]) -> None:
    vault, _ = new_vault(tmp_path)
    forge(vault, first_slot_with(**changes))
    with pytest.raises(errors.VaultTampered, match="altered"):
        vault.open(PASSPHRASE)


def test_a_slot_of_another_vault_does_not_open_this_one(tmp_path: Path) -> None:
    vault, _ = new_vault(tmp_path)
    other, _ = new_vault(tmp_path / "other")
    theirs = vault_format.decode(other.path.read_bytes()).header.slots
    forge(vault, header_with(slots=theirs))
    with pytest.raises(errors.VaultTampered):
        vault.open(PASSPHRASE)


def test_a_vault_put_in_place_of_another_is_locked_to_the_old_key(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    other, _ = new_vault(tmp_path / "other")
    vault.path.write_bytes(other.path.read_bytes())
    _assert_refused_and_untouched(vault, key, errors.VaultLocked)


def test_an_older_vault_is_noticed_until_it_is_opened_again(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    vault.set(key, "s", "u", "old")
    old = vault.path.read_bytes()
    vault.set(key, "s", "u", "new")
    vault.path.write_bytes(old)
    _assert_refused_and_untouched(vault, key, errors.VaultRolledBack)
    assert vault.get(vault.open(PASSPHRASE), "s", "u") == "old"


def test_a_file_cut_anywhere_is_truncated_and_left_alone(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    whole = vault.path.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        vault.path.write_bytes(whole[:length])
        with pytest.raises(errors.VaultTruncated):
            vault.get(key, "s", "u")
    _assert_refused_and_untouched(vault, key, errors.VaultTruncated)
    vault.path.write_bytes(whole)
    assert vault.entries(key) == {}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_every_flipped_bit_is_noticed(tmp_path: Path, position: int, bit: int) -> None:
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
        errors.VaultTruncated,
        errors.VaultDamaged,
        errors.VaultTooNew,
    ):
        return
    assert document == {("s", "u"): "kept"}  # white space between the values


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", errors.VaultTruncated),
        (b"not a vault at all", errors.VaultTruncated),
        (b"{}", errors.VaultDamaged),
        (b"[1]}", errors.VaultDamaged),
        (b"\xff\xfe}", errors.VaultDamaged),
        (b'{"header": {"format": "other", "version": 1}}', errors.VaultDamaged),
        (b'{"header": {"format": "homeserver-backup-vault", "version": 2, "new": 1}}', errors.VaultTooNew),
        (b'{"header": {"format": "homeserver-backup-vault", "version": 0}}', errors.VaultDamaged),
        (
            b'{"header": {"format": "homeserver-backup-vault", "version": 1, "slots": "canary"}}',
            errors.VaultDamaged,
        ),
        (b" " * (16 * 2**20) + b"}", errors.VaultDamaged),
    ],
)
def test_a_file_that_is_not_a_vault_is_never_overwritten(
    tmp_path: Path, data: bytes, error: type[errors.VaultError]
) -> None:
    vault, key = new_vault(tmp_path)
    vault.path.write_bytes(data)
    with pytest.raises(error) as raised:
        vault.open(PASSPHRASE)
    assert "canary" not in str(raised.value)
    _assert_refused_and_untouched(vault, key, error)


def test_a_missing_vault_is_its_own_error_and_creates_nothing(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    key = DataKey.generate()
    for use in (vault.describe, lambda: vault.open(PASSPHRASE), lambda: vault.set(key, "s", "u", "x")):
        with pytest.raises(errors.VaultMissing):
            use()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_its_place_is_not_readable(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    vault.path.mkdir(parents=True)
    with pytest.raises(errors.VaultNotReadable):
        vault.open(PASSPHRASE)


def test_every_error_has_its_own_kind_a_fix_and_a_store_state() -> None:
    family: list[type[errors.VaultError]] = [errors.VaultError, *errors.VaultError.__subclasses__()]
    assert len({cls.kind for cls in family}) == len(family)
    for cls in family:
        error = cls("what happened")
        assert error.hint or error.remedies
        assert StoreState(error.code)
        assert isinstance(error, CredentialStoreError)
        rebuilt = from_wire(cls.kind, error.message, hint=error.hint, code=error.code, remedies=error.remedies)
        assert (type(rebuilt), ErrorInfo.of(rebuilt)) == (cls, ErrorInfo.of(error))


@pytest.mark.parametrize(
    "plain",
    [
        b"canary",
        b"{}x",
        b"5",
        b'{"s": "canary"}',
        b'[["s", "u"]]',
        b'[["s", "u", 5]]',
        b'[["s", null, "canary"]]',
        b"[5]",
    ],
)
def test_a_body_that_opens_and_holds_no_entries_of_ours_is_damage(tmp_path: Path, plain: bytes) -> None:
    vault, key = new_vault(tmp_path)

    def seal(document: vault_format.VaultDocument) -> vault_format.VaultDocument:
        bound = slots.canonical(document.header)
        return msgspec.structs.replace(document, body=slots.encrypt(plain, bound, document.nonce, key.reveal()))

    forge(vault, seal)
    with pytest.raises(errors.VaultDamaged, match="not of this program") as raised:
        vault.open(PASSPHRASE)
    assert "canary" not in str(raised.value)
    _assert_refused_and_untouched(vault, key, errors.VaultDamaged)


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
        with pytest.raises(errors.WrongKey) as raised:
            RawKey.parse(wrong)
        assert "canary" not in str(raised.value)


def test_a_handed_over_key_opens_the_same_vault_and_knows_its_generation(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    old = vault.path.read_bytes()
    vault.set(key, "s", "u", "kept")
    taken = DataKey.taken(key.handover())
    assert vault.get(taken, "s", "u") == "kept"
    vault.path.write_bytes(old)
    with pytest.raises(errors.VaultRolledBack):
        vault.get(taken, "s", "u")
    for wrong in ("", "canary", "YWJj"):
        with pytest.raises(errors.WrongKey):
            DataKey.taken(Secret(wrong))


def test_a_slot_opens_only_as_it_was_sealed_and_only_in_its_own_vault() -> None:
    """The slot itself notices, before anything else in the file is checked."""
    key, data_key, owner = RawKey.generate(), bytes(range(32)), b"o" * 16
    slot = slots.seal(data_key, owner, key, label="laptop", created_at=1)
    assert slots.open_slot(slot, owner, key) == data_key
    for changed in ({"label": "desktop"}, {"created_at": 2}, {"id": "00000000"}):
        with pytest.raises(errors.VaultTampered):
            slots.open_slot(msgspec.structs.replace(slot, **changed), owner, key)
    with pytest.raises(errors.VaultTampered):
        slots.open_slot(slot, b"p" * 16, key)


def test_no_passphrase_is_changed_to_an_empty_one(tmp_path: Path) -> None:
    vault, _ = new_vault(tmp_path)
    with pytest.raises(errors.SlotRefused):
        vault.change_passphrase(PASSPHRASE, Secret(""))
    vault.open(PASSPHRASE)


def test_a_body_that_was_altered_is_noticed_when_the_vault_is_opened(tmp_path: Path) -> None:
    """At opening, not only at the first secret that is requested."""
    vault, key = new_vault(tmp_path)
    vault.set(key, "s", "u", "kept")
    forge(vault, lambda document: msgspec.structs.replace(document, body=bytes(len(document.body))))
    with pytest.raises(errors.VaultTampered):
        vault.open(PASSPHRASE)
