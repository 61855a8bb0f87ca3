"""Nonces, salts and keys of the vault are drawn fresh each time: a repeated one would reveal its contents."""

from __future__ import annotations

from pathlib import Path

from backup.credentials.vault_file import format as fmt
from backup.credentials.vault_file.file import DataKey, RawKey, VaultFile
from backup.credentials.vault_file.slots import Slot, canonical, decrypt
from tests.backup.vault_tools import PASSPHRASE, new_vault


def document(vault: VaultFile) -> fmt.VaultDocument:
    return fmt.decode(vault.path.read_bytes())


def all_distinct(values: list[bytes]) -> bool:
    return len(set(values)) == len(values)


def assert_fresh(slots: list[Slot]) -> None:
    """No two of them share a salt, a nonce, a proof or a sealed key, and no salt shares bytes with a nonce."""
    assert all_distinct([slot.salt for slot in slots])
    assert all_distinct([slot.nonce for slot in slots])
    assert all_distinct([slot.proof for slot in slots])
    assert all_distinct([slot.sealed for slot in slots])


def test_each_write_draws_a_new_nonce(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    written = [document(vault)]
    for _ in range(8):
        vault.set(key, "service", "user", "the same secret")
        written.append(document(vault))
    assert all_distinct([each.nonce for each in written])
    assert all_distinct([each.body for each in written])


def test_the_nonce_of_the_body_does_not_depend_on_what_is_written(tmp_path: Path) -> None:
    """The same header, entries and key, encoded twice, as after a crash between encoding and renaming."""
    vault, key = new_vault(tmp_path)
    header = document(vault).header
    both = [fmt.decode(fmt.encode(header, {("s", "u"): "x"}, key)) for _ in range(2)]
    assert both[0].nonce != both[1].nonce
    assert both[0].body != both[1].body


def test_slots_of_one_passphrase_share_neither_salt_nor_nonce(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    raw = RawKey.generate()
    for opener in (PASSPHRASE, PASSPHRASE, raw, raw):
        vault.add_slot(key, opener)
    assert_fresh(list(document(vault).header.slots))


def test_a_slot_that_is_sealed_again_gets_another_salt_and_nonce(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    seen = list(document(vault).header.slots)
    vault.change_passphrase(PASSPHRASE, PASSPHRASE)
    seen += document(vault).header.slots
    vault.renew_key(key, [PASSPHRASE])
    seen += document(vault).header.slots
    assert_fresh(seen)


def test_two_vaults_of_one_passphrase_share_nothing(tmp_path: Path) -> None:
    (one, one_key), (two, two_key) = new_vault(tmp_path / "one"), new_vault(tmp_path / "two")
    first, second = document(one), document(two)
    assert one_key.reveal() != two_key.reveal()
    assert first.header.vault_id != second.header.vault_id
    assert first.header.key_id != second.header.key_id
    assert first.nonce != second.nonce
    assert_fresh([*first.header.slots, *second.header.slots])


def test_a_renewed_key_is_another_key_and_the_old_one_decrypts_nothing_new(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    vault.set(key, "s", "u", "kept")
    renewed = vault.renew_key(key, [PASSPHRASE])
    assert renewed.reveal() != key.reveal()
    assert renewed.key_id != key.key_id
    now = document(vault)
    assert decrypt(now.body, canonical(now.header), now.nonce, key.reveal()) is None
    assert decrypt(now.body, canonical(now.header), now.nonce, renewed.reveal()) is not None


def test_no_slot_holds_the_old_key_after_it_was_renewed(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    raw = RawKey.generate()
    vault.add_slot(key, raw)
    renewed = vault.renew_key(key, [PASSPHRASE, raw])
    opened = [vault.open(opener) for opener in (PASSPHRASE, raw)]
    assert [each.reveal() for each in opened] == [renewed.reveal()] * 2
    assert key.reveal() not in {each.reveal() for each in opened}


def test_generated_keys_are_never_the_same(tmp_path: Path) -> None:
    keys = [DataKey.generate(b"v" * fmt.ID_BYTES) for _ in range(8)]
    assert all_distinct([key.reveal() for key in keys])
    assert all_distinct([key.key_id for key in keys])
    assert all_distinct([RawKey.generate().reveal() for _ in range(8)])
