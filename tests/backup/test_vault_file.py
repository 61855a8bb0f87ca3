"""The vault's file: what it keeps, what it notices, and that it loses nothing."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import CryptoError

from backup.credentials.vault_file import errors
from backup.credentials.vault_file.file import RawKey, SlotKind, VaultFile
from backup.credentials.vault_file.slots import DEAREST, MODERATE, KdfCost
from providers.secret import Secret
from tests.backup.vault_tools import CHEAP, PASSPHRASE, first_slot_with, forge, new_vault, vault_at

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
    with pytest.raises(errors.VaultNotWritten, match="others may write"):
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


def test_wrong_passphrase_and_wrong_key_are_distinguished_and_nothing_is_lost(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    vault.set(key, "s", "u", "kept")
    with pytest.raises(errors.WrongPassphrase) as raised:
        vault.open(Secret("canary-wrong"))
    assert "canary" not in repr(raised.value) + str(raised.value) + raised.value.hint
    assert "No backup is lost" in raised.value.hint
    with pytest.raises(errors.WrongKey):
        vault.open(RawKey.generate())
    assert vault.get(vault.open(PASSPHRASE), "s", "u") == "kept"


def test_passphrases_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    vault.create(Secret("caf\u00e9"))
    assert vault.open(Secret("cafe\u0301"))


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.SlotRefused):
        vault_at(tmp_path).create(Secret(""))
    assert not vault_at(tmp_path).exists()


def test_slots_are_added_listed_and_removed_but_never_the_last(tmp_path: Path) -> None:
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
    with pytest.raises(errors.WrongPassphrase):
        vault.open(PASSPHRASE)
    with pytest.raises(errors.SlotRefused, match="last one"):
        vault.remove_slot(key, added.id)
    with pytest.raises(errors.SlotRefused, match="no slot"):
        vault.remove_slot(key, first.id)
    assert vault.get(vault.open(raw), "s", "u") == "kept"


def test_there_are_at_most_eight_slots(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    for _ in range(7):
        vault.add_slot(key, RawKey.generate())
    with pytest.raises(errors.SlotRefused, match="at most 8"):
        vault.add_slot(key, RawKey.generate())


def test_changing_the_passphrase_keeps_entries_other_slots_and_open_vaults(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    raw = RawKey.generate()
    vault.add_slot(key, raw)
    vault.set(key, "s", "u", "kept")
    with pytest.raises(errors.WrongPassphrase):
        vault.change_passphrase(Secret("not it"), Secret("new"))
    changed = vault.change_passphrase(PASSPHRASE, Secret("new"))
    assert changed.label == "mine"
    with pytest.raises(errors.WrongPassphrase):
        vault.open(PASSPHRASE)
    for opened in (vault.open(Secret("new")), vault.open(raw), key):
        assert vault.get(opened, "s", "u") == "kept"


def test_renewing_the_data_key_shuts_out_holders_of_the_old_one(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    raw = RawKey.generate()
    vault.add_slot(key, raw, label="nightly")
    vault.set(key, "s", "u", "kept")
    with pytest.raises(errors.SlotRefused, match="nightly"):
        vault.renew_key(key, [PASSPHRASE])
    with pytest.raises(errors.WrongPassphrase):
        vault.renew_key(key, [Secret("not it"), raw])
    renewed = vault.renew_key(key, [PASSPHRASE, raw])
    with pytest.raises(errors.VaultLocked, match="renewed"):
        vault.get(key, "s", "u")
    with pytest.raises(errors.VaultLocked):
        vault.set(key, "s", "u", "by the old key")
    assert {vault.get(vault.open(opener), "s", "u") for opener in (PASSPHRASE, raw)} == {"kept"}
    only = vault.renew_key(renewed, [raw], drop_others=True)
    with pytest.raises(errors.WrongPassphrase):
        vault.open(PASSPHRASE)
    assert vault.get(only, "s", "u") == "kept"


def test_the_default_cost_is_moderate_and_expensive_slots_are_refused_before_any_work(tmp_path: Path) -> None:
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
        with pytest.raises(errors.VaultTooCostly):
            vault.open(PASSPHRASE)
        assert vault.path.read_bytes() == forged


def test_the_highest_allowed_cost_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def quick(size: int, typed: bytes, salt: bytes, *_: object) -> bytes:
        return hashlib.blake2b(typed + salt, digest_size=size).digest()

    monkeypatch.setattr(bindings, "crypto_pwhash_alg", quick)
    vault = VaultFile(tmp_path / "vault" / "vault.json", cost=DEAREST)
    key = vault.create(PASSPHRASE)
    vault.set(key, "s", "u", "kept")
    assert vault.get(vault.open(PASSPHRASE), "s", "u") == "kept"


def test_a_key_slot_with_the_cost_of_a_passphrase_is_damage(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    raw = RawKey.generate()
    added = vault.add_slot(key, raw)
    vault.remove_slot(key, vault.describe().slots[0].id)
    forge(vault, first_slot_with(cost=CHEAP))
    with pytest.raises(errors.VaultDamaged, match=added.id):
        vault.open(raw)


@pytest.mark.parametrize(
    "cost", [KdfCost(operations=0, memory_bytes=8192), KdfCost(operations=1, memory_bytes=-5), None]
)
def test_impossible_costs_are_damage_not_a_crash(tmp_path: Path, cost: KdfCost | None) -> None:
    vault, _ = new_vault(tmp_path)
    forge(vault, first_slot_with(cost=cost))
    with pytest.raises(errors.VaultDamaged):
        vault.open(PASSPHRASE)


def test_too_little_memory_is_reported_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault, _ = new_vault(tmp_path)

    def out_of_memory(*_: object) -> bytes:
        raise CryptoError("Unexpected failure in key derivation")

    monkeypatch.setattr(bindings, "crypto_pwhash_alg", out_of_memory)
    with pytest.raises(errors.VaultNotReadable, match="memory"):
        vault.open(PASSPHRASE)
