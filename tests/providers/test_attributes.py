"""Modes and owners from services and other programs, applied to this disk."""

from __future__ import annotations

import os
import stat

import pytest

from providers.contract import attributes
from providers.contract.attributes import Attributes, Restoring
from providers.errors import PermissionDenied
from providers.local.provider import LocalProvider
from providers.remedies import Action, Remedy

FILE = stat.S_IFREG


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("100600", FILE | 0o600),
        ("0100644", FILE | 0o644),
        ("104755", FILE | 0o4755),
        ("600", FILE | 0o600),
        ("0600", FILE | 0o600),
        ("1777", FILE | 0o1777),
        ("100000", FILE),
    ],
)
def test_modes_are_parsed_as_by_rclone(text, mode):
    assert Attributes.parse({"mode": text}) == Attributes(mode=mode)


HOSTILE = [
    "", " ", "-1", "-100600", "+100600", " 100600", "100600 ", "100600\n", "0o600", "0x180", "100_600", "1e5",
    "rw-------", "33152", "33188", "32768", "384", "888888", "100689", "9" * 20,
    "1" * 5000, "\u0661\u0660\u0660\u0666\u0660\u0660",
    "100600, 100600", "40700", "120777", "060660", "020666", "010644", "140755", "1000600", "NaN", "null", "100600\0",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_an_invalid_mode_is_ignored_and_counted(text):
    assert Attributes.parse({"mode": text, "uid": "5"}) == Attributes(uid=5, ignored=1)


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", " 1", "1 ", "0x0", "1.0", "1_0", "4294967295", "4294967296", "9" * 30, "\u0665", "root", "1\n"],
    ids=ascii,
)
def test_an_invalid_id_is_ignored_and_counted(text):
    assert Attributes.parse({"uid": text, "gid": text}) == Attributes(ignored=2)
    assert Attributes.parse({"mode": "100600", "uid": "0", "gid": text}) == Attributes(
        mode=FILE | 0o600, uid=0, ignored=1
    )


@pytest.mark.parametrize("value", [33188, 0o100600, True, None, ["100600"], {"mode": "100600"}, 1.5], ids=repr)
def test_a_value_that_is_not_text_is_ignored(value):
    assert Attributes.parse({"mode": value}) == Attributes(ignored=0 if value is None else 1)


def test_a_folder_has_the_mode_of_a_folder():
    assert Attributes.parse({"mode": "40700"}, folder=True).mode == stat.S_IFDIR | 0o700
    assert Attributes.parse({"mode": "100700"}, folder=True) == Attributes(ignored=1)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b'{"mode": "40750", "uid": "5"}', Attributes(mode=stat.S_IFDIR | 0o750, uid=5)),
        (b'{"mode": "100750", "uid": "5"}', Attributes(uid=5, ignored=1)),
        (b'{"mode": 16888, "gid": "-1"}', Attributes(ignored=2)),
        (b"", Attributes()),
        (b"\xff\xfe", Attributes()),
        (b'"40750"', Attributes()),
        (b'["mode"]', Attributes()),
        (b"[" * 1000, Attributes()),
        (b'{"mode": "40750"' + b" " * 1024 + b"}", Attributes()),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_odd_attributes_beside_a_folder_on_disk_are_ignored(tmp_path, monkeypatch, value, found):
    (tmp_path / "d" / "empty").mkdir(parents=True)
    monkeypatch.setattr(os, "getxattr", lambda *_: value)
    provider = LocalProvider({"container": str(tmp_path)})
    assert provider.stat("d/empty/").attributes == found
    assert {file.key: file.attributes for file in provider.scan("d/").files}["d/empty/"] == found
    provider.close()


def test_written_attributes_are_read_back(tmp_path):
    path = tmp_path / "file"
    path.touch(0o640)
    found = Attributes.of(path.stat())
    assert found.as_metadata() == {"mode": "100640", "uid": str(os.getuid()), "gid": str(os.getgid())}
    assert Attributes.parse(found.as_metadata()) == found


@pytest.fixture
def calls(monkeypatch):
    """Records the calls on a file, in order, without needing root."""
    done: list[tuple[object, ...]] = []
    monkeypatch.setattr(os, "fchown", lambda fd, uid, gid: done.append(("chown", uid, gid)))
    monkeypatch.setattr(os, "fchmod", lambda fd, mode: done.append(("chmod", mode)))
    return done


@pytest.fixture
def fd(tmp_path):
    found = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR, 0o600)
    yield found
    os.close(found)


PROGRAM = Attributes(mode=FILE | 0o6755, uid=12345, gid=23456)


def test_the_owner_comes_before_the_mode(calls, fd):
    """In the other order, chown would clear setuid again."""
    Restoring(owner=True).apply(fd, PROGRAM)
    assert calls == [("chown", 12345, 23456), ("chmod", 0o6755)]


def test_by_default_only_the_nine_permission_bits_are_set(calls, fd):
    Restoring().apply(fd, PROGRAM)
    assert calls == [("chmod", 0o755)]


@pytest.mark.parametrize(
    ("known", "mode"), [({"uid": 12345}, 0o4755), ({"gid": 23456}, 0o2755), ({}, 0o755)], ids=["uid", "gid", "neither"]
)
def test_setuid_and_setgid_are_kept_only_for_their_owner(calls, fd, known, mode):
    """A setuid program of root's with a damaged uid must not become one of the restoring user."""
    Restoring(owner=True).apply(fd, Attributes(mode=FILE | 0o6755, **known))
    assert calls[-1] == ("chmod", mode)


def test_without_the_right_to_chown_the_error_says_what_to_do(monkeypatch, fd):
    def refuse(fd, uid, gid):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(PermissionDenied, match="may not give files to user 12345") as caught:
        Restoring(owner=True).apply(fd, PROGRAM)
    assert caught.value.remedies == (Remedy(Action.RESTORE_WITHOUT_OWNER),)
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
    Restoring(owner=True).apply(fd, Attributes.of(os.fstat(fd)))


def test_a_disk_without_modes_is_accepted(monkeypatch, fd):
    def refuse(fd, mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    Restoring().apply(fd, PROGRAM)
    attributes.keep(fd, Attributes.of(os.fstat(fd)))


def test_a_copy_of_another_users_program_loses_its_special_bits(monkeypatch, fd):
    """Stored in a folder by a user who may not change owners: without special bits, and readable for a restore."""

    def refuse(fd, uid, gid):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    attributes.keep(fd, Attributes(mode=FILE | 0o4040, uid=12345, gid=23456))
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o440


def test_the_umask_is_read_without_changing_it(monkeypatch):
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("it was touched"))
        assert attributes.current_umask() == 0o027
    finally:
        monkeypatch.undo()
        os.umask(before)


def test_without_proc_the_umask_is_read_and_restored(monkeypatch, tmp_path):
    monkeypatch.setattr(attributes, "Path", lambda name: tmp_path / "nothing")
    before = os.umask(0o027)
    try:
        assert attributes.current_umask() == 0o027
        assert attributes.current_umask() == 0o027
    finally:
        os.umask(before)
