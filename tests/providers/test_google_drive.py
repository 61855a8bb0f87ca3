"""Behaviour specific to Google Drive: ids, equal names, sessions, tokens, shared drives."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from providers import registry
from providers.base import BaseProvider
from providers.contract.attributes import Attributes
from providers.contract.context import ProviderContext
from providers.contract.upload import UploadRequest
from providers.errors import (
    Authentication,
    Conflict,
    Integrity,
    InvalidConfiguration,
    InvalidName,
    NotFound,
    PermissionDenied,
    Transient,
)
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, SeenRequest, Side
from providers.testing.support import FakeTime, Memory, content, source
from providers.testing.transfers import download, keys, upload
from providers.testing.transfers import read as read_bytes
from tests.contract.drive_harness import begin, commit, read, send_whole
from tests.servers import drive_errors
from tests.servers.drive_oauth import ACCOUNT, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.servers.drive_server import DriveServer

MIB = 1 << 20
GRAIN = 256 * 1024


@pytest.fixture
def server() -> Iterator[DriveServer]:
    with DriveServer() as server:
        server.store.folder("Backups")
        yield server


@pytest.fixture
def proxy(server: DriveServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def connect(proxy: FaultProxy) -> Iterator[Any]:
    """Opens another connection. `values` override settings; None omits one."""
    opened: list[BaseProvider] = []

    def open_one(context: ProviderContext | None = None, **values: Any) -> BaseProvider:
        settings = {
            "endpoint_url": proxy.url,
            "container": "Backups",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN,
            "upload_chunk_size": MIB,
            **values,
        }
        provider = registry.load("google_drive")(
            {name: value for name, value in settings.items() if value is not None},
            context=context or ProviderContext(sleep=FakeTime().sleep),
        )
        opened.append(provider)
        return provider

    yield open_one
    for provider in opened:
        provider.close()


def put(server: DriveServer, path: str, data: bytes = b"x", **facts: Any) -> str:
    """Create a new file at `path`, whatever exists there, and return its id."""
    folder, _, name = f"Backups/{path}".rpartition("/")
    return server.store.create({"name": name, "parents": [server.store.folder(folder)], **facts}, data).id


def stored(server: DriveServer) -> list[tuple[str, bytes]]:
    return sorted((path, item.data) for path, item in server.store.walk(server.store.folder("Backups")))


def test_our_metadata_is_stored_in_app_properties(server, connect, tmp_path):
    """Other programs see only mode and owner, where rclone looks for them: no description, and no name of ours."""
    path = source(tmp_path, b"content")
    result = upload(connect(), path, "x")
    ((_, item),) = server.store.walk(server.store.folder("Backups"))
    properties = item.facts["appProperties"]
    assert properties["mtime_ns"] == str(path.stat().st_mtime_ns)
    assert properties["sha256"] == result.sha256
    assert item.facts["properties"] == Attributes.of(path.stat()).as_metadata()
    assert "description" not in item.facts


# Names that several files have


def test_files_of_one_name_are_listed_as_two(server, connect):
    one, two = put(server, "a/x", b"one"), put(server, "a/x", b"two!")
    put(server, "a/y")
    listed = {file.key: (file.id, file.size_bytes) for file in connect().walk()}
    assert listed == {f"a/x [id={one}]": (one, 3), f"a/x [id={two}]": (two, 4), "a/y": (listed["a/y"][0], 1)}
    page = connect().scan("a/", delimiter="/")
    assert {file.key for file in page.files} == set(listed)


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_equal_names_are_detected_across_pages(server, connect, limit):
    ids = [put(server, "x") for _ in range(3)]
    put(server, "w")
    put(server, "X")
    provider = connect()
    found, token = [], None
    while True:
        page = provider.scan(token=token, limit=limit)
        found += [file.key for file in page.files]
        token = page.next_token
        if token is None:
            break
    assert sorted(found) == sorted(["w", "X", *(f"x [id={one}]" for one in ids)])


def test_an_ambiguous_name_is_a_conflict_that_lists_the_ids(server, connect, tmp_path):
    one, two = put(server, "x", b"one"), put(server, "x", b"two")
    provider = connect()
    for ask in (
        lambda: provider.stat("x"),
        lambda: provider.delete("x"),
        lambda: download(provider, "x", tmp_path / "target"),
        lambda: read_bytes(provider, "x", 0, 3),
        lambda: upload(provider, source(tmp_path, b"three"), "x"),
        lambda: upload(provider, source(tmp_path, b"three"), "x", replaces=True),
    ):
        with pytest.raises(Conflict) as caught:
            ask()
        assert one in caught.value.message
        assert two in caught.value.message
    assert stored(server) == [("x", b"one"), ("x", b"two")]


def test_each_of_several_files_is_addressed_by_its_key(server, connect, tmp_path):
    one, two = put(server, "x", b"one"), put(server, "x", b"two")
    provider = connect()
    download(provider, f"x [id={two}]", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"two"
    upload(provider, source(tmp_path, b"newer"), f"x [id={two}]")
    assert stored(server) == [("x", b"newer"), ("x", b"one")]
    provider.delete(f"x [id={one}]")
    assert stored(server) == [("x", b"newer")]
    assert keys(provider) == {"x"}


def test_an_id_with_another_name_or_folder_is_not_found(server, connect, tmp_path):
    one, other = put(server, "x"), put(server, "elsewhere/x")
    provider = connect()
    for key in (f"y [id={one}]", f"x [id={other}]", "x [id=1NoSuchIdAnywhere]"):
        with pytest.raises(NotFound):
            provider.stat(key)
        with pytest.raises(InvalidName):
            upload(provider, source(tmp_path, b"new"), key)
    assert len(stored(server)) == 2


def test_a_file_whose_name_contains_an_id_is_not_confused_with_another(server, connect):
    one = put(server, "x")
    put(server, f"x [id={one}]", b"hostile")
    with pytest.raises(Conflict):
        connect().stat(f"x [id={one}]")


def test_names_that_cannot_be_in_a_path_are_shown_with_their_id(server, connect, tmp_path):
    folder = server.store.folder("Backups")
    ids = [server.store.create({"name": name, "parents": [folder]}, b"x").id for name in ("a/b", "..", ".", "")]
    shown = {f"a\uff0fb [id={ids[0]}]", f".. [id={ids[1]}]", f". [id={ids[2]}]", f" [id={ids[3]}]"}
    provider = connect()
    assert keys(provider) == shown
    for key in shown:
        assert provider.stat(key).key == key
    for key in shown:
        provider.delete(key)
    assert stored(server) == []


def test_of_folders_with_one_name_the_stored_one_is_the_object(server, connect):
    put(server, "x/a")
    top = server.store.folder("Backups")
    kept = {"properties": {"mode": "40700"}, "mimeType": "application/vnd.google-apps.folder"}
    second = server.store.create({"name": "x", "parents": [top], **kept})
    provider = connect()
    for prefix in ("", "x/"):
        found = [file for file in provider.scan(prefix).files if file.key.endswith("/")]
        assert [(file.key, file.attributes.mode) for file in found] == [("x/", 0o40700)]
    assert provider.stat("x/").id == second.id
    server.store.update(second.id, {"trashed": True})
    assert {file.key for file in provider.scan("x/").files} == {"x/a"}


def test_folders_with_one_name_count_as_one(server, connect, tmp_path):
    at = server.store.folder("Backups")
    kind = "application/vnd.google-apps.folder"
    folders = [server.store.create({"name": "f", "mimeType": kind, "parents": [at]}).id for _ in range(2)]
    for folder, name in zip(folders, ("one", "two"), strict=True):
        server.store.create({"name": name, "parents": [folder]}, b"x")
        server.store.create({"name": "both", "parents": [folder]}, b"x")
    provider = connect()
    assert provider.scan(delimiter="/").prefixes == ("f/",)
    found = keys(provider, "f/")
    assert {"f/one", "f/two"} < found
    assert len(found) == 4
    assert provider.stat("f/two").size_bytes == 1
    with pytest.raises(Conflict):
        provider.stat("f/both")
    upload(provider, source(tmp_path, b"new"), "f/new")
    assert folders[0] in server.store.item(provider.stat("f/new").id).facts["parents"]


def test_documents_of_google_are_left_out(server, connect):
    put(server, "sheet", mimeType="application/vnd.google-apps.spreadsheet")
    put(server, "x")
    provider = connect()
    assert keys(provider) == {"x"}
    with pytest.raises(NotFound):
        provider.stat("sheet")


# Creating


def test_concurrent_uploads_create_a_folder_once(server, connect, tmp_path):
    provider = connect()
    paths = [source(tmp_path, b"x", f"source-{number}") for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: upload(provider, paths[number], f"new/deep/{number}"), range(12)))
    top = provider.scan(delimiter="/")
    assert top.prefixes == ("new/",)
    page = server.store.page("mimeType = 'application/vnd.google-apps.folder'", "", 100, "")
    assert Counter(item["name"] for item in page["files"]) == {"Backups": 1, "new": 1, "deep": 1}


@pytest.mark.parametrize("when", ["folder", "file"])
def test_a_lost_reply_to_a_creation_creates_no_second_file(server, proxy, connect, tmp_path, when):
    def created(request):
        return request.method == "POST" and (
            request.path == "/drive/v3/files" if when == "folder" else send_whole(request)
        )

    rule = proxy.fault(Fault.lost_reply(), when=created)
    upload(connect(), source(tmp_path, b"x"), "new/x")
    assert rule.hits == 1
    assert stored(server) == [("new/x", b"x")]
    page = server.store.page("name = 'new'", "", 100, "")
    assert len(page["files"]) == 1


def test_two_concurrent_uploads_of_one_name_leave_one_file(server, connect, tmp_path):
    barrier = threading.Barrier(2)
    providers = [connect(), connect()]
    paths = [source(tmp_path, data, name) for name, data in (("1", b"one"), ("2", b"other"))]

    def write(number):
        def together(done, total):
            if not done:
                barrier.wait(10)

        upload(providers[number], paths[number], "x", replaces=False, progress=together)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    assert len(stored(server)) == 1
    assert keys(connect()) == {"x"}


def test_overwriting_keeps_the_id(server, connect, tmp_path):
    file_id = put(server, "x", b"older")
    provider = connect()
    for data in (b"small", content(3 * MIB)):
        upload(provider, source(tmp_path, data), "x")
        assert server.store.item(file_id).data == data
        assert provider.stat("x").id == file_id
    assert len(stored(server)) == 1


def test_the_requests_of_one_small_file(server, proxy, connect, tmp_path):
    """A lookup of the name, the file, and a check for a concurrent upload; ids are fetched a hundred at a time."""
    counted: Counter[str] = Counter()
    context = ProviderContext(count_call=lambda kind: counted.update([kind]))
    provider = connect(context)
    upload(provider, source(tmp_path, b"first"), "first")
    counted.clear()
    for number in range(10):
        upload(provider, source(tmp_path, b"x"), f"x{number}")
    assert counted == {"files.list": 20, "files.create": 10}
    counted.clear()
    upload(provider, source(tmp_path, b"xx"), "x1")
    assert counted == {"files.list": 1, "files.update": 1}


# Sessions


def test_an_upload_cut_at_60_percent_continues_in_another_connection(server, proxy, connect, tmp_path):
    """No confirmed byte is sent again, except in the last chunk."""
    chunk, size = 2 * MIB, 50 * MIB
    path = tmp_path / "large"
    block = content(MIB)
    with path.open("wb") as file:
        for number in range(50):
            file.write(number.to_bytes(4, "big") + block[4:])
    memory = Memory()

    def sixty(request):
        return "content-range" in request.headers and request.headers["content-range"].startswith(
            f"bytes {15 * chunk}-"
        )

    proxy.fault(Fault.reset(at=chunk // 2), when=sixty)
    with pytest.raises(Transient):
        upload(connect(upload_chunk_size=chunk, max_retries=0), path, "large", checkpoint=memory)
    sent_before = proxy.body_bytes(lambda request: request.method == "PUT")
    assert 0.6 * size <= sent_before < 0.66 * size

    result = upload(connect(upload_chunk_size=chunk), path, "large", checkpoint=memory)
    sent = proxy.body_bytes(lambda request: request.method == "PUT")
    assert sent <= size + chunk
    assert result.resumed_bytes == 15 * chunk
    assert proxy.count(begin) == 1
    assert connect().stat("large").checksums["sha256"] == result.sha256


def test_a_partly_received_part_continues_in_its_middle(server, proxy, connect, tmp_path):
    data = content(3 * MIB)
    rule = proxy.fault(Fault.reset(at=3 * GRAIN - 10), when=lambda request: "0-" in _range(request))
    upload(connect(), source(tmp_path, data), "x")
    assert rule.hits == 1
    assert stored(server) == [("x", data)]
    starts = [int(_range(request).split()[1].split("-")[0]) for request in proxy.requests if "-" in _range(request)]
    assert all(start % GRAIN == 0 for start in starts)
    assert len(starts) == len(set(starts)) or starts[1] == 0


def _range(request):
    return request.headers.get("content-range", "")


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_restarts_if_google_has_lost_its_session(server, proxy, connect, tmp_path, status):
    data = content(3 * MIB)
    proxy.fault(Fault.status(status), when=lambda request: _range(request).startswith(f"bytes {MIB}-"))
    upload(connect(), source(tmp_path, data), "x", checkpoint=Memory())
    assert stored(server) == [("x", data)]
    assert proxy.count(begin) == 2


def test_a_file_becomes_visible_only_at_the_end(server, proxy, connect, tmp_path):
    data = content(2 * MIB)
    seen = []
    upload(connect(), source(tmp_path, data), "x", on_verify=lambda: seen.append(stored(server)))
    assert seen == [[]]
    assert [request.body_bytes for request in proxy.requests if commit(request)] == [GRAIN]


def test_a_session_at_a_foreign_address_is_not_trusted(server, proxy, connect, tmp_path):
    """Bytes are sent only to addresses that belong to the service."""
    proxy.fault(Fault.status(200, headers={"Location": "https://evil.example/upload"}), when=begin, times=None)
    with pytest.raises(Integrity):
        upload(connect(), source(tmp_path, content(2 * MIB)), "x")
    token = {"session": "http://evil.example/upload", "id": "1", "new": True, "folder": "2", "name": "x"}
    with pytest.raises(InvalidName):
        connect().open_upload(UploadRequest(key="x", size_bytes=10, part_size_bytes=10), token=token)


def test_a_damaged_overwrite_is_reported_and_keeps_the_file(server, proxy, connect, tmp_path):
    put(server, "x", b"older")
    proxy.fault(Fault.flip(Side.REQUEST, 100), when=lambda request: _range(request).startswith("bytes 0-"))
    with pytest.raises(Integrity, match="has been replaced"):
        upload(connect(), source(tmp_path, content(3 * MIB)), "x")
    assert len(stored(server)) == 1


# Deleting


def test_files_are_deleted_to_the_bin_or_permanently(server, connect):
    one, two = put(server, "one"), put(server, "two")
    connect().delete("one")
    assert server.store.item(one).facts["trashed"] is True
    connect(use_trash=False).delete("two")
    with pytest.raises(Exception, match="not found"):
        server.store.item(two)


@pytest.mark.parametrize("scope", ["drive", "drive.file"])
def test_a_folder_always_goes_to_the_bin(server, connect, tmp_path, scope):
    """Google cannot delete a folder only if it is empty: a file that arrives at that moment can be restored."""
    provider = connect(use_trash=False, scope=scope)
    upload(provider, source(tmp_path, b"1"), "f/one")
    provider.remove("f/one")
    folder = server.store.folder("Backups/f")
    provider.remove("f/")
    assert server.store.item(folder).facts["trashed"] is True


@pytest.mark.parametrize("use_trash", [True, False])
def test_a_folder_stays_if_a_file_arrives_during_its_deletion(server, proxy, connect, tmp_path, use_trash):
    """Between check and deletion. The deleted files stay in the bin and do not keep a folder."""
    provider = connect(use_trash=use_trash)
    for name in ("f/one", "f/two"):
        upload(provider, source(tmp_path, b"1"), name)
        provider.remove(name)
    folder = server.store.folder("Backups/f")
    came: list[str] = []

    def meanwhile(request: SeenRequest) -> bool:
        if request.method == "PATCH" and not came:
            came.append(server.store.create({"name": "theirs", "parents": [folder]}, b"2").id)
        return False

    proxy.fault(Fault.status(500), when=meanwhile, times=None)
    with pytest.raises(Conflict, match=r"f/: is not empty, so it was kept: 'theirs' is in it"):
        provider.remove("f/")
    assert [server.store.item(each).facts["trashed"] for each in (folder, *came)] == [False, False]
    provider.remove("f/theirs")
    provider.remove("f/")
    assert server.store.item(folder).facts["trashed"] is True


def test_a_check_leaves_nothing_in_the_bin(server, connect):
    report = connect().probe()
    assert report.failure is None
    assert server.store.page("trashed = true", "", 10, "")["files"] == []
    assert ACCOUNT in report.steps[1].detail


def test_a_check_without_permission_to_delete_permanently(server, proxy, connect):
    proxy.fault(drive_errors.insufficient_permissions(), when=lambda request: request.method == "DELETE", times=None)
    assert connect().probe().failure is None
    assert len(server.store.page("trashed = true", "", 10, "")["files"]) == 1


def test_a_folder_in_the_bin_gets_no_new_files(server, connect, tmp_path):
    provider = connect()
    upload(provider, source(tmp_path, b"1"), "f/one")
    server.store.update(server.store.folder("Backups/f"), {"trashed": True})
    with pytest.raises(Conflict, match="bin"):
        upload(provider, source(tmp_path, b"2"), "f/two")


def test_flagged_files(server, connect, tmp_path):
    server.flagged.add(put(server, "x", b"looks bad"))
    with pytest.raises(PermissionDenied) as caught:
        download(connect(), "x", tmp_path / "target")
    assert "acknowledge_abuse" in caught.value.hint
    download(connect(acknowledge_abuse=True), "x", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"looks bad"


# Who is asking


def test_a_refused_access_token_is_renewed_once(server, proxy, connect, tmp_path):
    provider = connect()
    upload(provider, source(tmp_path, content(2 * MIB)), "x")
    server.authority.tokens.clear()
    assert keys(provider) == {"x"}
    assert server.authority.refreshes == 2
    proxy.fault(drive_errors.invalid_credentials(), when=lambda request: "q" in request.query, times=None)
    with pytest.raises(Authentication):
        keys(provider)
    assert server.authority.refreshes == 3


@pytest.mark.parametrize("size", [100_000, 3 * MIB])
def test_a_token_that_expires_during_an_upload(server, proxy, connect, tmp_path, size):
    def sends(request):
        return send_whole(request) or _range(request).startswith(f"bytes {MIB}-")

    rule = proxy.fault(drive_errors.invalid_credentials(), when=sends)
    data = content(size)
    upload(connect(max_retries=0), source(tmp_path, data), "x")
    assert rule.hits == 1
    assert stored(server) == [("x", data)]


def test_a_token_is_renewed_before_it_expires(server, connect):
    times = FakeTime()
    provider = connect(ProviderContext(clock=times.clock, sleep=times.sleep))
    keys(provider)
    for seconds, refreshes in ((3000, 1), (600, 2)):
        times.sleep(seconds, provider.context.cancel)
        keys(provider)
        assert server.authority.refreshes == refreshes


def test_many_threads_renew_once(server, connect):
    provider = connect()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: keys(provider), range(8)))
    assert server.authority.refreshes == 1


def test_a_rotated_refresh_token_is_saved(server, proxy, connect):
    saved = []

    def save(old, new):
        saved.append((old.reveal(), new.reveal()))
        return True

    body = json.dumps({"access_token": "rotated", "expires_in": 3599, "refresh_token": "1//new", "scope": ""})
    server.authority.tokens.add("rotated")
    proxy.fault(
        Fault.status(200, body, headers={"Content-Type": "application/json"}),
        when=lambda request: request.path == "/token",
    )
    keys(connect(ProviderContext(save_secret=save)))
    assert saved == [(REFRESH_TOKEN, "1//new")]


@pytest.mark.parametrize("token", ["two\nlines", "caf\u00e9", None])
def test_an_invalid_access_token(proxy, connect, token):
    body = json.dumps({"access_token": token, "expires_in": 3599} if token else {"hello": "world"})
    proxy.fault(Fault.status(200, body, headers={"Content-Type": "application/json"}), times=None)
    with pytest.raises(InvalidConfiguration, match="no access token"):
        keys(connect())


def test_tokens_of_a_consent_screen_in_testing_are_explained(server, connect):
    server.authority.refresh_tokens.clear()
    with pytest.raises(Authentication) as caught:
        keys(connect())
    assert "seven days" in caught.value.hint
    assert "Publish" in caught.value.hint
    assert caught.value.code == "invalid_grant"


def test_another_account_is_refused(server, connect, tmp_path):
    assert connect(account=ACCOUNT.upper()).probe().failure is None
    provider = connect(account="somebody@else.example")
    with pytest.raises(Authentication, match="belongs to somebody@else"):
        upload(provider, source(tmp_path, b"x"), "x")
    assert provider.probe().failure.code == "wrong_account"
    assert stored(server) == []


def test_without_authorisation(connect):
    with pytest.raises(Authentication, match="authorised"):
        keys(connect(refresh_token=None))
    with pytest.raises(InvalidConfiguration, match="client_id"):
        connect(client_id="")


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_file(key: rsa.RSAPrivateKey, **changes: Any) -> str:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    facts = {
        "type": "service_account",
        "client_email": "backup@project.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": pem,
        "token_uri": "https://evil.example/token",
    }
    return json.dumps({**facts, **changes})


def test_a_service_account_on_a_shared_drive(server, proxy, connect, tmp_path, key):
    kind = "application/vnd.google-apps.folder"
    drive = server.store.create({"name": "Shared", "mimeType": kind, "parents": ["root"]}).id
    server.authority.service_accounts["backup@project.iam.gserviceaccount.com"] = key.public_key()
    provider = connect(
        service_account_json=key_file(key), shared_drive_id=drive, refresh_token=None, client_id="", container="B/C"
    )
    provider.create_container("B/C")
    assert provider.containers() == ["B"]
    upload(provider, source(tmp_path, content(2 * MIB)), "x")
    assert keys(provider) == {"x"}
    assert {path for path, _ in server.store.walk(drive)} == {"B/C/x"}
    listings = [request.query for request in proxy.requests if "q" in request.query]
    assert all((query["driveId"], query["corpora"]) == (drive, "drive") for query in listings)
    assert "backup@project" in provider.location


def test_an_unknown_service_account(server, connect, key):
    with pytest.raises(Authentication):
        keys(connect(service_account_json=key_file(key)))


@pytest.mark.parametrize(
    "text", ["no json", "[]", '{"type": "authorized_user"}', '{"type": "external_account", "token_url": "x"}']
)
def test_an_invalid_service_account_key(connect, text):
    with pytest.raises(InvalidConfiguration, match="service_account_json") as caught:
        connect(service_account_json=text)
    assert text not in str(caught.value)


def test_an_unreadable_private_key(connect, key):
    with pytest.raises(InvalidConfiguration, match="private key"):
        keys(connect(service_account_json=key_file(key, private_key="secret nonsense")))


# Containers


def test_the_root_of_the_drive(server, connect, tmp_path):
    provider = connect(container="/")
    upload(provider, source(tmp_path, b"1"), "Backups/x")
    assert keys(provider, "Backups/") == {"Backups/x"}
    assert stored(server) == [("x", b"1")]


def test_a_container_is_created_with_its_parents(server, connect):
    provider = connect(container="one/two")
    with pytest.raises(NotFound):
        provider.check_container()
    provider.create_container("one/two")
    provider.create_container("one/two")
    assert "one/two" in provider.check_container()
    assert provider.containers() == ["Backups", "one"]


@pytest.mark.parametrize("container", ["", "a//b", "a/../b"])
def test_an_invalid_container(connect, container):
    with pytest.raises(InvalidConfiguration, match="container"):
        keys(connect(container=container))


def test_a_file_that_changes_between_two_ranges(server, connect):
    file_id = put(server, "x", content(MIB))
    provider = connect()
    etag = provider.stat("x").etag
    assert read_bytes(provider, "x", 0, 10, etag=etag)
    server.store.update(file_id, {}, content(MIB, seed=2))
    with pytest.raises(Conflict):
        read_bytes(provider, "x", 10, 10, etag=etag)


def test_a_small_download_costs_two_requests(server, proxy, connect, tmp_path):
    put(server, "x", b"123")
    provider = connect()
    keys(provider)
    proxy.wait_idle()
    proxy.forget()
    download(provider, "x", tmp_path / "target")
    assert proxy.count() == 2
    assert proxy.count(read) == 1
