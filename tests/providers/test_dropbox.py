"""Behaviour specific to Dropbox: case-insensitive names, sessions that report only an offset, expiring tokens."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from backup.model.transfers import Conflicts
from backup.queries import plans
from providers import settings
from providers.contract import digests
from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.dropbox.names import decode_name, encode_name
from providers.dropbox.objects import client_modified
from providers.dropbox.settings import Settings
from providers.errors import (
    Authentication,
    Cancelled,
    Conflict,
    Integrity,
    InvalidConfiguration,
    InvalidName,
    NotFound,
    PermissionDenied,
    RateLimited,
    Transient,
)
from providers.remedies import Action, Remedy
from providers.secret import Secret
from providers.testing.faults import Fault
from providers.testing.support import FakeTime, Memory, Progress, content, source
from providers.testing.transfers import download, keys, read, upload
from tests.contract.dropbox_harness import DROPBOX, FOLDER, PART
from tests.servers import dropbox_errors, dropbox_requests
from tests.servers.dropbox_server import ACCOUNT_ID, APP_KEY, REFRESH_TOKEN, DropboxServer

MIB = 1 << 20


@pytest.fixture
def root(request, tmp_path):
    with DROPBOX.open(request.getfixturevalue, tmp_path) as root:
        yield root


@pytest.fixture
def provider(root):
    return root.ready()


@pytest.fixture
def server(root):
    return root.server


@contextmanager
def calls(server):
    """Counts the requests made inside the context."""
    made: list[str] = []
    before = len(server.calls)
    yield made
    made += server.calls[before:]


# Names


def test_a_name_that_differs_in_case_is_refused_before_anything_is_sent(root, server, provider):
    root.plant({"Photos/Cat.jpg": b"cat"})
    path = source(root.tmp, content(3 * PART))
    for key, says in (("Photos/cat.JPG", "Cat.jpg"), ("photos/dog.jpg", "Photos"), ("PHOTOS/2026/x", "Photos")):
        for replaces in (None, False, True):
            with pytest.raises(Conflict, match=says), calls(server) as made:
                upload(provider, path, key, replaces=replaces)
            assert set(made) <= {"files/get_metadata"}
    assert root.stored() == {"Photos/Cat.jpg": b"cat"}


def test_clashing_spellings_are_reported_before_a_transfer_starts(root, server, provider):
    """Among the chosen files, with existing files at the destination, and with files in a folder there."""
    root.plant({"to/README": b"1", "to/photos/Cat.jpg": b"2", "to/same": b"3"})
    photos = root.tmp / "photos"
    photos.mkdir()
    for path in ("readme", "same", "Same", "photos/cat.JPG", "photos/dog.jpg"):
        (root.tmp / path).write_bytes(b"x")
    chosen = [root.tmp / name for name in ("readme", "same", "Same", "photos")]
    with calls(server) as made:
        plan = plans.upload(provider, "dropbox", chosen, "to/", Conflicts.REPLACE, CancelToken())
    assert plan.clashes == 3
    assert set(plan.clashing_names) == {"to/readme", "to/Same", "to/photos/cat.JPG"}
    assert plan.replaced_names == ("to/same",)
    assert not {call for call in made if "upload" in call}


def test_two_spellings_uploaded_at_the_same_time(root, provider):
    """Neither exists yet when the other is checked."""
    paths = [source(root.tmp, content(2 * PART, seed), f"source{seed}") for seed in (1, 2)]
    refused = []

    def second(done):
        with pytest.raises(Conflict) as caught:
            upload(provider, paths[1], "NAME")
        refused.append(caught.value.code)

    upload(provider, paths[0], "name", progress=Progress(PART, second))
    assert refused == ["case_conflict"]
    assert root.stored() == {"name": content(2 * PART, 1)}


def test_two_spellings_of_a_new_folder(root, provider):
    upload(provider, source(root.tmp, b"1"), "New/a")
    with pytest.raises(Conflict, match="New"):
        upload(provider, source(root.tmp, b"2"), "new/b")
    assert root.stored() == {"New/a": b"1"}


def test_a_file_and_a_folder_of_one_name(root, provider):
    root.plant({"a/b": b"1"})
    path = source(root.tmp, b"2")
    with pytest.raises(Conflict, match="folder"):
        upload(provider, path, "a")
    with pytest.raises(Conflict, match="is a file"):
        upload(provider, path, "a/b/c")
    assert root.stored() == {"a/b": b"1"}


def test_another_spelling_is_neither_read_nor_described_nor_deleted(root, provider):
    root.plant({"Name": b"mine"})
    for ask in (
        provider.stat,
        provider.delete,
        lambda key: read(provider, key, 0, 4),
        lambda key: download(provider, key, root.tmp / "target"),
    ):
        with pytest.raises(NotFound):
            ask("name")
    assert root.stored() == {"Name": b"mine"}


@pytest.mark.parametrize("name", ["desktop.ini", "Thumbs.db", ".DS_Store", "~$letter.docx"])
def test_names_that_dropbox_does_not_store(root, provider, name):
    with pytest.raises(InvalidName):
        upload(provider, source(root.tmp, b"1"), f"folder/{name}")


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("a\\b", "a＼b"),
        ("a＼b", "a‛＼b"),
        ("end ", "end␠"),
        ("end␠", "end‛␠"),
        (" ", "␠"),
        ("\x7f", "␡"),
        ("\udcff\udc80", "‛FF‛80"),
        ("‛", "‛"),
        ("‛Hello", "‛Hello"),
        ("‛69", "‛69"),
        ("‛FF", "‛‛FF"),
        ("‛＼", "‛‛‛＼"),
        ("‛\\", "‛‛＼"),
        ("．", "．"),
        ("．．", "．．"),
        ("a．", "a．"),
        ("\\ \x7f ", "＼ ␡␠"),
        ("／␀", "／␀"),
    ],
)
def test_names_are_encoded_as_rclone_does(name, encoded):
    assert encode_name(name) == encoded
    assert decode_name(encoded) == name


def test_names_and_keys_correspond_one_to_one():
    for letters in (
        letters for size in range(1, 5) for letters in itertools.product("‛＼␡␠ \\F9\udc9f／", repeat=size)
    ):
        name = "".join(letters)
        assert decode_name(encode_name(name)) == name
        if not (set(name) & {"\\", "\udc9f"} or name.endswith(" ")):
            assert encode_name(decode_name(name)) == name, "Dropbox can hold it"


def test_names_from_other_programs_are_listed_fetched_and_deleted(root, server, provider):
    names = ("AC／DC", "‛Hello", "Hello", "‛69", "‛‛69", "x‛", "a␀b", "a␠b", "．", "‛90", "a＼b", "end␠", "‛‛end␠")
    for name in names:
        server.put(f"/Backups/d/{name}", name.encode())
    listed = keys(provider, "d/")
    assert len(listed) == len(names)
    for key in listed:
        download(provider, key, root.tmp / "target")
        assert f"d/{decode_name((root.tmp / 'target').read_text())}" == key
        assert provider.delete(key) is True
    assert root.stored() == {}


def test_names_that_are_not_utf_8_are_restored(root, provider):
    key = os.fsdecode(b"folder/\xff\xfe name")
    upload(provider, source(root.tmp, b"1"), key)
    assert keys(provider) == {key}
    download(provider, key, root.tmp / "target")
    assert (root.tmp / "target").read_bytes() == b"1"


# Hash, mtime


@pytest.mark.parametrize("size", [0, 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB])
def test_the_content_hash_by_its_definition(size):
    data = content(size)
    blocks = [hashlib.sha256(data[at : at + 4 * MIB]).digest() for at in range(0, size, 4 * MIB)]
    digest = digests.new_digest(digests.DROPBOX_HASH)
    for at in range(0, size, 1_000_003):
        digest.update(data[at : at + 1_000_003])
        digest.hexdigest()
    assert digest.hexdigest() == hashlib.sha256(b"".join(blocks)).hexdigest()
    assert digest.hexdigest() == digests.digest_of(digests.DROPBOX_HASH, data)


@pytest.mark.parametrize(
    ("mtime_ns", "expected"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000_499_999_999, "2023-11-14T22:13:20Z"),
        (1_700_000_000_500_000_000, "2023-11-14T22:13:21Z"),
        (-5_000_000_000, "1969-12-31T23:59:55Z"),
        (-(2**62) * 16, None),
        (2**63 * 1000, None),
    ],
)
def test_mtime_to_the_second(mtime_ns, expected):
    assert client_modified(mtime_ns) == expected


def test_a_server_that_does_not_check_the_hash_is_not_trusted_to(root, server):
    server.enforces_hash = False
    provider = root.connect()
    result = upload(provider, source(root.tmp, content(1000)), "x")
    assert result.proof == "matched"
    assert provider.capabilities.enforced_checksums == frozenset()
    assert set(root.stored()) == {"x"}


# Sessions


def test_an_upload_cut_at_60_percent_resumes_without_sending_again(root):
    part = 4 * MIB
    data = content(15 * part + 17)
    path = source(root.tmp, data)
    memory = Memory()
    sends = dropbox_requests.append(part)
    root.wired.fault(Fault.reset(at=part // 2), when=dropbox_requests.append(part, 9))
    with pytest.raises(Transient):
        upload(root.connect(max_retries=0, upload_chunk_size=part), path, "x", checkpoint=memory)
    sent = root.wired.body_bytes(sends)
    assert 0.55 * len(data) < sent < 0.65 * len(data)

    result = upload(root.connect(upload_chunk_size=part), path, "x", checkpoint=memory)
    assert result.resumed_bytes == 9 * part
    assert root.stored() == {"x": data}
    assert root.wired.body_bytes(sends) <= len(data) + part
    assert root.wired.count(dropbox_requests.start) == 1


def test_requests_are_of_4_mib_unless_set_otherwise(root):
    """So that progress is shown, and memory use is limited."""
    progress = Progress()
    provider = root.connect(upload_chunk_size=Settings().upload_chunk_size)
    upload(provider, source(root.tmp, content(9 * MIB)), "x", progress=progress)
    sent = [request.body_bytes for request in root.wired.requests if dropbox_requests.append(4 * MIB)(request)]
    assert sent == [4 * MIB, 4 * MIB, MIB]
    done = [figure for figure, _ in progress.calls]
    assert max(later - earlier for earlier, later in itertools.pairwise(done)) <= MIB


def test_retries_at_a_lasting_rate_limit_end(root):
    """Dropbox's SDK would retry forever. Here the settings limit the retries, and Retry-After sets the delay."""
    times = FakeTime()
    provider = root.ready(context=ProviderContext(sleep=times.sleep), max_retries=2)
    root.wired.fault(dropbox_errors.too_many_requests(300), times=None)
    with pytest.raises(RateLimited) as caught:
        upload(provider, source(root.tmp, content(1000)), "x")
    assert caught.value.retry_after_s == 300
    assert times.slept == [300, 300]


def test_a_partly_received_part_is_completed(root, server):
    """The refusal reports the offset; only the rest is sent."""
    data = content(3 * PART)
    path = source(root.tmp, data)
    memory = Memory()
    cancel = CancelToken()
    with pytest.raises(Cancelled):
        upload(
            root.connect(),
            path,
            "x",
            cancel=cancel,
            checkpoint=memory,
            progress=Progress(PART + 1, lambda done: cancel.cancel()),
        )
    (session,) = server.store.sessions.values()
    session.data += data[len(session.data) : len(session.data) + 1000]
    half = len(session.data)
    root.wired.forget()
    upload(root.connect(), path, "x", checkpoint=memory)
    assert root.stored() == {"x": data}
    taken = [request for request in root.wired.requests if dropbox_requests.append(PART)(request) and request.ok]
    assert sum(request.body_bytes for request in taken) == len(data) - half


def test_foreign_bytes_in_the_session_are_detected(root, server):
    data = content(3 * PART)
    path = source(root.tmp, data)
    memory = Memory()
    cancel = CancelToken()
    watch = Progress(2 * PART + 1, lambda done: cancel.cancel())
    with pytest.raises(Cancelled):
        upload(root.connect(), path, "x", cancel=cancel, checkpoint=memory, progress=watch)
    (session,) = server.store.sessions.values()
    session.data[0] ^= 0xFF
    with pytest.raises(Integrity):
        upload(root.connect(), path, "x", checkpoint=memory)


def test_a_session_lives_for_seven_days(root):
    with DropboxServer(now=lambda: at[0]) as server:
        at = [1_800_000_000.0]
        provider = root.connect(endpoint_url=server.url, container="")
        memory, cancel = Memory(), CancelToken()
        path = source(root.tmp, content(3 * PART))
        watch = Progress(PART + 1, lambda done: cancel.cancel())
        with pytest.raises(Cancelled):
            upload(provider, path, "x", cancel=cancel, checkpoint=memory, progress=watch)
        saved = memory.load()
        assert saved is not None
        at[0] += 6.9 * 86400
        assert len(provider.open_upload(saved.request, token=memory.token).confirmed()) >= 1
        at[0] += 0.2 * 86400
        with pytest.raises(NotFound):
            provider.open_upload(saved.request, token=memory.token).confirmed()
        assert upload(provider, path, "x", checkpoint=memory).resumed_bytes == 0


def test_the_same_bytes_over_themselves_are_a_conflict_when_nothing_may_be_there(root, provider):
    path = source(root.tmp, b"same")
    upload(provider, path, "x")
    with pytest.raises(Conflict):
        upload(provider, path, "x", only_if_absent=True)


# Tokens


def test_an_expired_access_token_is_renewed_during_an_upload(root, server, provider):
    data = content(3 * PART)
    watch = Progress(PART, lambda done: server.expire_access_tokens())
    with calls(server) as made:
        upload(provider, source(root.tmp, data), "x", progress=watch)
    assert root.stored() == {"x": data}
    assert made.count("oauth2/token") == 1


def test_one_401_leads_to_one_new_token(root, server, provider):
    for fault in (dropbox_errors.invalid_access_token(), dropbox_errors.expired_access_token(), Fault.status(401)):
        root.wired.fault(fault, when=dropbox_requests.upload)
        with calls(server) as made:
            upload(root.ready(max_retries=0), source(root.tmp, b"data"), "x")
        assert made.count("oauth2/token") == 2
    assert root.stored() == {"x": b"data"}


def test_a_second_401_is_the_end(root, provider):
    rule = root.wired.fault(dropbox_errors.invalid_access_token(), when=dropbox_requests.upload, times=None)
    with pytest.raises(Authentication) as caught:
        upload(provider, source(root.tmp, b"data"), "x")
    assert rule.hits == 2
    assert caught.value.remedies == (Remedy(Action.AUTHORIZE),)


def test_many_threads_need_one_token(root, server):
    provider = root.connect()
    root.plant({"x": b"1"})
    with calls(server) as made, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: provider.stat("x"), range(16)))
    assert made.count("oauth2/token") == 1


def test_a_token_is_renewed_before_it_expires(root, server):
    times = FakeTime()
    provider = root.connect(context=ProviderContext(clock=times.clock, sleep=times.sleep))
    root.plant({"x": b"1"})
    with calls(server) as made:
        provider.stat("x")
        times.sleep(server.token_lasts_s - 61, CancelToken())
        provider.stat("x")
        assert "oauth2/token" not in server.calls[-2:]
        times.sleep(2, CancelToken())
        provider.stat("x")
    assert made.count("oauth2/token") == 2


def test_revoked_access(root, server, provider):
    server.revoke()
    with pytest.raises(Authentication, match="no longer accepts") as caught:
        provider.stat("x")
    assert caught.value.code == "invalid_grant"
    assert REFRESH_TOKEN not in str(caught.value) + caught.value.hint


def test_never_authorised(root, server):
    before = len(server.calls)
    with pytest.raises(Authentication, match="not authorised yet"):
        root.connect(refresh_token="").list_files()
    with pytest.raises(InvalidConfiguration, match="app_key"):
        root.connect(app_key="").list_files()
    with pytest.raises(Authentication, match="app key"):
        root.connect(app_key="another").list_files()
    assert set(server.calls[before:]) == {"oauth2/token"}


def test_a_revoked_permission_is_named(root, server, provider):
    server.lose_scope("files.content.write")
    with pytest.raises(PermissionDenied, match=r"files\.content\.write"):
        upload(provider, source(root.tmp, b"1"), "x")


def test_another_account_fails_the_check(root):
    report = root.connect(account_id="dbid:another").probe()
    assert report.failure.kind == "authentication"
    assert report.failure.code == "wrong_account"
    assert root.connect(account_id="").probe().ok


def test_a_new_refresh_token_is_saved_by_compare_and_swap(root, server):
    saved = []

    def save(old, new):
        saved.append((old.reveal(), new.reveal()))
        return True

    context = ProviderContext(save_secret=save)
    answer = '{"access_token": "%s", "expires_in": 14400, "refresh_token": "newer"}' % server.access_token()  # noqa: UP031
    root.plant({"x": b"1"})
    root.wired.fault(Fault.status(200, answer), when=dropbox_requests.refresh)
    assert root.connect(context=context).stat("x").size_bytes == 1
    assert saved == [(REFRESH_TOKEN, "newer")]


# Requests


def test_the_number_of_requests_per_file(root, server, provider):
    small, large = source(root.tmp, content(1000), "small"), source(root.tmp, content(4 * PART), "large")
    upload(provider, small, "folder/first")
    for replaces in (None, False):
        with calls(server) as made:
            upload(provider, small, f"folder/small{replaces}", replaces=replaces)
        assert made == ["files/get_metadata", "files/upload"]
    with calls(server) as made:
        upload(provider, large, "folder/large")
    session = "files/upload_session/"
    assert made == ["files/get_metadata", f"{session}start", *[f"{session}append_v2"] * 4, f"{session}finish"]
    with calls(server) as made:
        provider.delete("folder/first")
    assert made == ["files/get_metadata", "files/delete_v2"]


def test_every_request_is_counted(root, server):
    counted: list[str] = []
    provider = root.connect(context=ProviderContext(count_call=counted.append))
    with calls(server) as made:
        upload(provider, source(root.tmp, content(2 * PART)), "x")
        keys(provider)
    assert counted == made


def test_a_prefix_requests_only_its_folder(root, server, provider):
    root.plant({f"big/{number}": b"x" for number in range(50)} | {"a/one": b"1", "a/other/deep": b"2"})
    with calls(server) as made:
        assert {file.key for file in provider.scan("a/o", delimiter="/").files} == {"a/one"}
        assert provider.scan("a/o", delimiter="/").prefixes == ("a/other/",)
    assert made == ["files/list_folder"] * 2
    asked = [request for request in root.wired.requests if dropbox_requests.listing(request)]
    assert all(request.reply_bytes < 2000 for request in asked)


def test_a_listing_whose_cursor_dropbox_has_lost(root, server, provider):
    root.plant({f"x{number}": b"1" for number in range(9)})
    token = provider.scan(limit=2).next_token
    token = provider.scan(token=token, limit=2).next_token
    server.store.forget_cursors()
    with pytest.raises(Conflict) as caught:
        provider.scan(token=token, limit=9)
    assert caught.value.code == "reset"
    with pytest.raises(Conflict):
        provider.scan(token="not one of ours")


def test_a_page_of_mostly_other_entries_ends(root, server, provider):
    root.plant({f"many/a{number:04}": b"x" for number in range(2_500)} | {"many/z": b"1"})
    page = provider.scan("many/z")
    assert page.next_token is not None
    assert {file.key for file in (*page.files, *provider.scan("many/z", token=page.next_token).files)} == {"many/z"}


# Deleting, folders


def test_deleting_never_takes_a_folder(root, provider):
    root.plant({"folder/x": b"1"})
    with pytest.raises(NotFound):
        provider.delete("folder")
    assert root.stored() == {"folder/x": b"1"}


def test_a_file_that_changes_before_it_is_deleted_stays(root, server, provider):
    root.plant({"x": b"1"})
    rule = root.wired.fault(Fault.delay(0.3), when=dropbox_requests.delete)
    with ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(provider.delete, "x")
        rule.wait_hit()
        root.plant({"x": b"newer"})
        with pytest.raises(Conflict):
            deleting.result(10)
    assert root.stored() == {"x": b"newer"}


def test_folders_are_listed_and_made(root, server, provider):
    server.store.make_folder("/Second ".strip(), False)
    server.put("/a file", b"")
    assert set(provider.containers()) == {FOLDER, "Second"}
    provider.create_container("Third/below")
    provider.create_container("Third/below")
    assert root.connect(container="Third/below").check_container().startswith("folder /Third/below")
    with pytest.raises(Conflict):
        provider.create_container("a file")


def test_the_whole_dropbox_as_container(root, server):
    provider = root.connect(container="/")
    upload(provider, source(root.tmp, b"1"), "x")
    assert keys(provider) == {"x"}
    assert provider.probe().ok
    assert set(server.files()) == {"/x"}


def test_an_upload_does_not_create_a_missing_container(root, server):
    with pytest.raises(NotFound, match="does not exist"):
        upload(root.connect(container="Missing/below"), source(root.tmp, b"1"), "x")
    assert "/missing" not in server.store.nodes


# Settings


def test_the_standard_pair_and_structure_of_settings():
    guide = {
        "enabled": False, "credentials_key": "dropbox", "container": "homeserver-backups", "container_type": "bucket",
        "username": APP_KEY, "password": "token", "api_key": "", "secret_key": "", "region": "", "max_retries": 3,
        "upload_chunk_size": 104857600, "encryption_key": None,
    }  # fmt: skip
    own = settings.load(Settings, guide)
    assert own.app_key == APP_KEY
    assert own.refresh_token == Secret("token")


def test_the_location_of_objects(root):
    assert root.connect().location.endswith(f"app={APP_KEY} account={ACCOUNT_ID} folder=/backups")
    assert root.connect(container="backups").location == root.connect(container="/Backups/").location
    assert root.connect(account_id="dbid:other").location != root.connect().location
    with pytest.raises(InvalidConfiguration, match="container"):
        root.connect(container="a/../b")


# A folder that is deleted while another program puts something there

LOOKS = ("files/get_metadata", "files/list_folder", "files/move_v2", "files/list_folder", "files/delete_v2")


@pytest.mark.parametrize("nth", range(1, len(LOOKS) + 1))
def test_a_file_that_arrives_while_its_folder_is_deleted_stays_and_is_named(root, server, provider, nth):
    """Just before each request of the deletion, by path."""
    root.make_folder("x/f")
    made = []

    def meanwhile(request):
        made.append(request.path.removeprefix("/2/"))
        if len(made) == nth:
            root.plant({"x/f/theirs": b"1"})
        return False

    root.wired.fault(Fault.status(500), when=meanwhile, times=None)
    with pytest.raises(Conflict, match=r"x/f/: is not empty, so it was kept: 'theirs' is in it"):
        provider.remove("x/f/")
    assert made[:nth] == list(LOOKS[:nth])
    assert root.stored() == {"x/f/theirs": b"1"}
    assert not any("removed" in place for place in server.store.nodes)


@pytest.mark.parametrize(
    ("lost", "again"), [("files/move_v2", contextlib.nullcontext()), ("files/delete_v2", pytest.raises(NotFound))]
)
def test_a_folder_deletion_whose_answer_was_lost_succeeds_on_retry(root, server, provider, lost, again):
    root.make_folder("x/f")
    root.wired.fault(Fault.lost_reply(), when=dropbox_requests.route(lost))
    with pytest.raises(Transient):
        provider.remove("x/f/")
    with again:
        provider.remove("x/f/")
    assert sorted(server.store.nodes) == ["/backups", "/backups/x"]


def test_a_renamed_folder_whose_name_is_taken_stays_renamed_and_is_named(root, server, provider):
    root.make_folder("x/f")
    moves = []

    def meanwhile(request):
        if dropbox_requests.route("files/move_v2")(request):
            moves.append(request)
            root.plant({"x/f/first": b"1"} if len(moves) == 1 else {"x/f/second": b"2"})
        return False

    root.wired.fault(Fault.status(500), when=meanwhile, times=None)
    with pytest.raises(Conflict, match=r"x/\.homeserver-backup-removed-[0-9a-f]{16}/: is not empty.*'first' is in it"):
        provider.remove("x/f/")
    assert sorted(root.stored().values()) == [b"1", b"2"]


def test_a_shared_folder_that_cannot_be_renamed_is_deleted_where_it_is(root, server, provider):
    root.make_folder("x/f")
    refused = '{"error_summary": "cant_move_shared_folder/", "error": {".tag": "cant_move_shared_folder"}}'
    root.wired.fault(Fault.status(409, refused), when=dropbox_requests.route("files/move_v2"), times=None)
    provider.remove("x/f/")
    assert sorted(server.store.nodes) == ["/backups", "/backups/x"]


def test_documents_without_bytes_are_listed_separately(root, server, provider, tmp_path):
    """Dropbox reports `is_downloadable: false` for Paper documents and those of partners' editors."""
    root.plant({"d/file": b"content", "d/notes.paper": b""})
    server.store.nodes["/backups/d/notes.paper"].is_downloadable = False
    for delimiter in ("", "/"):
        page = provider.scan("d/", delimiter=delimiter)
        assert [file.key for file in page.files] == ["d/file"]
        assert [file.key for file in page.left_out] == ["d/notes.paper"]
        assert "has no bytes" in page.left_out[0].left_out
    plan = plans.download(provider, "dropbox", ["d/"], tmp_path, CancelToken())
    assert (plan.files, plan.left_out, plan.left_out_names) == (1, 1, ("d/notes.paper",))
