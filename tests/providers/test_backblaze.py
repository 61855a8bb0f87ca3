"""Behaviour specific to Backblaze B2."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import pytest

from providers import registry, settings
from providers.backblaze import objects
from providers.backblaze.discovery import Learner
from providers.backblaze.reader import FileRange
from providers.backblaze.transport import name_of_call
from providers.contract.attributes import Attributes
from providers.contract.capabilities import Proof
from providers.contract.context import ProviderContext
from providers.contract.report import StepName
from providers.errors import Integrity, InvalidConfiguration, InvalidName, NotFound, PermissionDenied, Transient
from providers.testing.faults import Fault
from providers.testing.support import content, source
from providers.testing.transfers import download, keys, upload
from tests.contract.b2_harness import b2_root
from tests.servers import b2_errors, b2_requests
from tests.servers.b2_simulator import LIMITED_CAPABILITIES, MIN_PART_BYTES
from tests.servers.rclone import Rclone

MTIME_NS = 1_700_000_000_123_456_000


@pytest.fixture
def root(b2_server, tmp_path):
    with b2_root(b2_server, tmp_path) as opened:
        yield opened


@pytest.fixture
def calls():
    return Counter()


@pytest.fixture
def counted(root, calls):
    """A connection that has already tested what the service enforces. Its calls are counted from now on."""
    provider = root.connect(context=ProviderContext(count_call=lambda kind: calls.update([kind])))
    provider.learn()
    calls.clear()
    return provider


@pytest.fixture
def rclone(root, tmp_path):
    key = {"account": root.defaults["application_key_id"], "key": root.defaults["application_key"]}
    chunks = ("--b2-upload-cutoff", "5Mi", "--b2-chunk-size", "5Mi")
    return Rclone("b", {"type": "b2", "endpoint": root.b2.url, **key}, tmp_path, chunks)


# Keys


def test_username_and_password_are_the_key(root):
    key_id, key = root.defaults["application_key_id"], root.defaults["application_key"]
    provider = root.connect(application_key_id="", application_key="", username=key_id, password=key)
    assert provider.probe().ok
    with pytest.raises(InvalidConfiguration, match="region"):
        settings.load(registry.load("backblaze").Settings, {"region": "eu-central"})


@pytest.mark.parametrize("missing", ["application_key_id", "application_key"])
def test_a_missing_key_is_named(root, missing):
    provider = root.connect(**{missing: ""})
    with pytest.raises(InvalidConfiguration, match=missing) as caught:
        provider.list_files()
    assert caught.value.field == missing
    assert root.wired.requests == ()


def test_a_limited_key_needs_no_list_of_buckets(root, calls):
    provider = root.connect(context=ProviderContext(count_call=lambda kind: calls.update([kind])))
    assert provider.probe().ok
    assert provider.containers() == [root.bucket]
    assert calls["b2_list_buckets"] == 0
    with pytest.raises(PermissionDenied):
        provider.create_container("another-bucket-of-mine")


def test_a_limited_key_names_its_bucket(root):
    other, _ = root.b2.new_bucket()
    with pytest.raises(PermissionDenied, match=root.bucket):
        root.connect(container=other).check_container()


def test_a_key_for_the_whole_account(root):
    key = root.b2.master()
    provider = root.connect(application_key_id=key.key_id, application_key=key.key)
    assert provider.probe().ok
    assert root.bucket in provider.containers()
    provider.create_container("made-by-the-wizard")
    provider.create_container("made-by-the-wizard")
    assert "made-by-the-wizard" in provider.containers()
    with pytest.raises(InvalidName):
        provider.create_container("no such name!")
    with pytest.raises(NotFound, match="does not exist"):
        root.connect(application_key_id=key.key_id, application_key=key.key, container="nowhere").list_files()


@pytest.mark.parametrize("lacking", ["listFiles", "readFiles", "writeFiles"])
def test_a_missing_capability_is_named_by_the_check(root, lacking):
    rights = tuple(right for right in LIMITED_CAPABILITIES if right != lacking)
    key = root.b2.new_key(root.bucket, capabilities=rights)
    report = root.connect(application_key_id=key.key_id, application_key=key.key).probe()
    assert report.failure is not None
    assert report.failure.kind == "permission"
    assert lacking in report.failure.message
    assert [step.name for step in report.steps if step.error] == [StepName.CONTAINER]


def test_a_key_without_delete_capability_is_enough(root):
    rights = tuple(right for right in LIMITED_CAPABILITIES if right != "deleteFiles")
    key = root.b2.new_key(root.bucket, capabilities=rights)
    pair = {"application_key_id": key.key_id, "application_key": key.key}
    provider = root.connect(**pair)
    assert provider.probe().ok
    upload(provider, source(root.tmp, b"1"), "x")
    provider.delete("x")
    assert root.stored() == {}
    assert root.connect(**pair, delete_versions=True).probe().failure.message.endswith("lacks deleteFiles")


def test_a_key_that_is_limited_to_a_prefix(root):
    key = root.b2.new_key(root.bucket, prefix="mine/")
    pair = {"application_key_id": key.key_id, "application_key": key.key}
    root.plant({"theirs": b"1"})
    report = root.connect(**pair).probe()
    assert report.failure is not None
    assert (report.failure.kind, report.failure.code) == ("configuration", "prefix")
    assert "mine/" in report.failure.hint

    provider = root.connect(**pair, prefix="/mine")
    assert provider.probe().ok
    for size in (1000, MIN_PART_BYTES + 1):
        upload(provider, source(root.tmp, content(size)), f"folder/x{size}")
    assert set(root.stored()) == {"theirs", "mine/folder/x1000", f"mine/folder/x{MIN_PART_BYTES + 1}"}
    assert keys(provider) == {"folder/x1000", f"folder/x{MIN_PART_BYTES + 1}"}
    assert provider.scan(delimiter="/").prefixes == ("folder/",)
    assert download(provider, "folder/x1000", root.tmp / "target").proof is Proof.MATCHED


def test_an_expired_token_is_renewed_once(root, counted, calls):
    upload(counted, source(root.tmp, b"1"), "x")
    root.b2.expire_tokens()
    calls.clear()
    upload(counted, source(root.tmp, content(3 * MIN_PART_BYTES)), "y")
    assert 1 <= calls["b2_authorize_account"] <= 1 + counted.settings.connection_pool_size
    root.b2.expire_tokens()
    assert keys(counted) == {"x", "y"}
    root.b2.expire_tokens()
    assert counted.stat("x").size_bytes == 1


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "at", ["b2_get_upload_url", "b2_upload_file", "b2_start_large_file", "b2_upload_part", "b2_finish_large_file",
           "b2_list_file_names", "b2_hide_file", "b2_download_file_by_name"],
)  # fmt: skip
def test_one_401_leads_to_one_new_token(root, counted, calls, at):
    """For any call, and without a retry of ours."""
    root.plant({"there": b"1"})
    rule = root.wired.fault(b2_errors.expired_auth_token(), when=lambda request: name_of_call(request.path) == at)
    provider = root.connect(context=counted.context, max_retries=0)
    for size in (1000, 2 * MIN_PART_BYTES):
        upload(provider, source(root.tmp, content(size)), f"x{size}", connections=1)
    assert keys(provider) == {"there", "x1000", f"x{2 * MIN_PART_BYTES}"}
    assert provider.delete("there")
    assert download(provider, "x1000", root.tmp / "target").sha256
    assert rule.hits == 1
    assert calls["b2_authorize_account"] == 2


# Versions


def test_deleting_hides_and_older_versions_stay(root):
    provider = root.connect()
    for seed in (1, 2):
        upload(provider, source(root.tmp, content(100, seed)), "x")
    assert provider.deletion.words.startswith("hidden: all versions stay")
    assert not provider.deletion.for_good
    provider.delete("x")
    assert [version.action for version in root.b2.versions(root.bucket, "x")] == ["hide", "upload", "upload"]
    assert root.stored() == {}
    with pytest.raises(NotFound):
        provider.stat("x")


@pytest.mark.parametrize("count", [1, 3])
def test_deleting_can_remove_every_version(root, count):
    provider = root.connect(delete_versions=True)
    root.plant({"xy": b"1", "x/y": b"2"})
    for seed in range(count):
        upload(provider, source(root.tmp, content(100, seed)), "x")
    assert provider.deletion.for_good
    provider.delete("x")
    assert root.b2.versions(root.bucket, "x") == []
    assert set(root.stored()) == {"xy", "x/y"}
    with pytest.raises(NotFound):
        provider.delete("x")


def test_no_older_version_becomes_visible_while_all_are_removed(root):
    provider = root.connect(delete_versions=True, max_retries=0)
    for seed in range(3):
        upload(provider, source(root.tmp, content(100, seed)), "x")
    root.wired.fault(Fault.status(500), when=b2_requests.call("b2_delete_file_version"))
    rule = root.wired.fault(Fault.status(500), when=b2_requests.call("b2_delete_file_version"), times=None, skip=1)
    with pytest.raises(Exception, match="HTTP 500"):
        provider.delete("x")
    assert root.stored() == {"x": content(100, 2)}
    rule.release()
    root.wired.clear_faults()
    assert provider.delete("x") is True
    assert root.b2.versions(root.bucket, "x") == []


def test_a_lost_reply_to_an_upload_stores_no_second_version(root):
    provider = root.ready()
    rule = root.wired.fault(Fault.lost_reply(), when=b2_requests.upload_file())
    upload(provider, source(root.tmp, content(5000)), "x")
    assert rule.hits == 1
    assert len(root.b2.versions(root.bucket, "x")) == 1


def test_a_lost_reply_to_the_end_of_a_large_file_reads_nothing_back(root, counted, calls):
    root.wired.fault(Fault.lost_reply(), when=b2_requests.call("b2_finish_large_file"))
    result = upload(counted, source(root.tmp, content(2 * MIN_PART_BYTES)), "x")
    assert result.proof is Proof.ENFORCED
    assert (calls["b2_finish_large_file"], calls["b2_get_file_info"]) == (1, 1)
    assert root.wired.count(b2_requests.download()) == 0


# Costs


def test_a_small_file_costs_a_check_and_an_upload(root, counted, calls):
    path = source(root.tmp, b"small")
    for number in range(20):
        upload(counted, path, f"x{number}")
    assert calls == {"b2_download_file_by_name": 20, "b2_upload_file": 20, "b2_get_upload_url": 1}


def test_an_upload_url_is_reused_by_its_connection(root, counted, calls):
    size = 12 * MIN_PART_BYTES
    upload(counted, source(root.tmp, content(size)), "x", connections=3)
    assert calls["b2_upload_part"] == 12
    assert calls["b2_get_upload_part_url"] <= 3
    once = {"b2_start_large_file", "b2_list_unfinished_large_files", "b2_finish_large_file", "b2_download_file_by_name"}
    assert {kind: calls[kind] for kind in once} == dict.fromkeys(once, 1)


def test_after_a_failure_an_upload_url_is_not_used_again(root, counted, calls):
    path = source(root.tmp, b"small")
    upload(counted, path, "x")
    root.wired.fault(Fault.status(503), when=b2_requests.upload_file())
    upload(counted, path, "y")
    assert calls["b2_get_upload_url"] == 2
    used = [request.path for request in root.wired.requests if b2_requests.upload_file()(request)]
    assert used[-1] != used[-2]


def test_ten_of_fifty_thousand_cost_a_handful_of_calls(root, counted, calls):
    root.b2.plant_many(root.bucket, "many/", 50_000)
    root.b2.plant_many(root.bucket, "wanted/here/", 10)
    calls.clear()
    assert len(counted.list_files("wanted/")) == 10
    assert len(keys(counted, "many/00001")) == 10
    page = counted.scan("", delimiter="/")
    assert (page.prefixes, page.files, page.next_token) == (("many/", "wanted/"), (), None)
    assert calls == {"b2_list_file_names": 3}


# Digests


def test_a_large_file_carries_its_digests(root, counted):
    data = content(2 * MIN_PART_BYTES + 5)
    path = source(root.tmp, data)
    upload(counted, path, "x")
    (version,) = root.b2.versions(root.bucket, "x")
    assert version.sha1 == "none"
    assert re.fullmatch(r"[0-9a-f]{16}", version.info.pop("upload_session"))
    assert version.info == {
        "src_last_modified_millis": "1700000000123",
        "mtime_ns": str(MTIME_NS),
        "sha256": hashlib.sha256(data).hexdigest(),
        "large_file_sha1": hashlib.sha1(data).hexdigest(),
        **Attributes.of(path.stat()).as_metadata(),
    }
    found = counted.stat("x")
    assert found.recorded_sha1 == hashlib.sha1(data).hexdigest()
    assert found.checksums == {}


def test_hash_first_can_be_switched_off(root):
    data = content(2 * MIN_PART_BYTES + 5)
    provider = root.connect(hash_first=False)
    sent = upload(provider, source(root.tmp, data), "x")
    assert sent.proof is Proof.ENFORCED
    (version,) = root.b2.versions(root.bucket, "x")
    assert not {"sha256", "large_file_sha1"} & version.info.keys()
    assert download(provider, "x", root.tmp / "target").proof is Proof.READ_TWICE
    known = download(provider, "x", root.tmp / "target", expected_sha256=sent.sha256)
    assert known.proof is Proof.MATCHED


def test_without_enforcement_our_own_list_proves_nothing(root, monkeypatch):
    """A large file is then read back: its composite checksum would be compared with itself."""
    monkeypatch.setattr(Learner, "sha1_enforced", lambda self: False)
    path = source(root.tmp, content(2 * MIN_PART_BYTES + 5))
    assert upload(root.connect(), path, "x").proof is Proof.READ_BACK
    real = FileRange.__iter__
    monkeypatch.setattr(FileRange, "__iter__", lambda self: (bytes(len(chunk)) for chunk in real(self)))
    with pytest.raises(Integrity, match="not what was sent"):
        upload(root.connect(), path, "y")


# rclone reads what we wrote, and the reverse


@pytest.mark.parametrize("size", [0, 1000, 2 * MIN_PART_BYTES + 5])
def test_rclone_reads_our_files(root, rclone, size):
    data = content(size)
    (root.tmp / "src").mkdir()
    path = source(root.tmp / "src", data)
    upload(root.connect(), path, "src/source.bin")
    rclone.run("check", str(path.parent), rclone.path(f"{root.bucket}/src"), "--download")
    rclone.run("check", str(path.parent), rclone.path(f"{root.bucket}/src"))
    listed = rclone.listed(f"{root.bucket}/src")["source.bin"]
    assert listed["Hashes"]["sha1"] == hashlib.sha1(data).hexdigest()
    assert listed["ModTime"].startswith("2023-11-14T22:13:20.123")
    before = root.b2.versions(root.bucket)
    rclone.run("copy", "--modify-window", "1ms", str(path.parent), rclone.path(f"{root.bucket}/src"))
    assert root.b2.versions(root.bucket) == before, "rclone takes it for changed"


@pytest.mark.parametrize("size", [0, 1000, 2 * MIN_PART_BYTES + 5])
def test_files_stored_by_rclone_are_read(root, rclone, counted, calls, size):
    data = content(size)
    path = source(root.tmp, data)
    rclone.run("copyto", str(path), rclone.path(f"{root.bucket}/x.bin"))
    result = download(counted, "x.bin", root.tmp / "target")
    assert result.proof is Proof.MATCHED
    assert (root.tmp / "target").read_bytes() == data
    assert (root.tmp / "target").stat().st_mtime_ns == MTIME_NS // 1_000_000 * 1_000_000
    assert calls["b2_download_file_by_name"] == 1 + max(1, -(-size // MIN_PART_BYTES))  # at least one


def test_the_sha1_recorded_by_rclone_reveals_damage_to_a_large_file(root, rclone):
    """Only `large_file_sha1` reveals it."""
    path = source(root.tmp, content(2 * MIN_PART_BYTES + 5))
    rclone.run("copyto", str(path), rclone.path(f"{root.bucket}/x.bin"))
    assert [version.sha1 for version in root.b2.versions(root.bucket)] == ["none"]
    root.damage("x.bin")
    with pytest.raises(Integrity, match="sha-1"):
        download(root.connect(), "x.bin", root.tmp / "target")
    assert not (root.tmp / "target").exists()


def test_an_mtime_set_by_rclone_touch_is_used(root, rclone):
    provider = root.connect()
    upload(provider, source(root.tmp, b"1"), "x")
    rclone.run("touch", "--timestamp", "2020-09-13T12:26:40", rclone.path(f"{root.bucket}/x"))
    assert provider.stat("x").mtime_ns == 1_600_000_000_000_000_000


# Secrets


def test_nothing_logs_a_key_or_a_token(root, caplog):
    caplog.set_level("DEBUG")
    provider = root.connect(max_retries=0)
    upload(provider, source(root.tmp, content(2 * MIN_PART_BYTES)), "x")
    root.wired.fault(Fault.status(500), when=b2_requests.listing())
    with pytest.raises(Transient):
        keys(provider)
    root.b2.expire_tokens()
    assert keys(provider) == {"x"}
    assert not [record for record in caplog.records if any(secret in record.getMessage() for secret in root.secrets)]


@pytest.mark.parametrize(
    "realm", ["http://[::1", "https://u:pw@b2.test", "b2.test", "https://b2.test:port", "ftp://b2"]
)
def test_an_invalid_realm_is_named_without_its_password(realm):
    with pytest.raises(InvalidConfiguration, match="realm") as caught:
        registry.load("backblaze")({"container": "c", "realm": realm})
    assert caught.value.field == "realm"
    assert "pw" not in caught.value.message


def test_a_key_of_another_bucket_is_reported_and_creates_nothing(root):
    other = root.b2.new_bucket()[0]
    report = root.connect(container=other).probe()
    failed = next(step for step in report.steps if step.error)
    assert (failed.name, failed.error.kind) == (StepName.CONTAINER, "permission")
    assert f"limited to {root.bucket}" in failed.error.message
    assert root.bucket in failed.error.hint
    for name in (other, "a-bucket-that-never-was"):
        with pytest.raises(PermissionDenied, match=f"limited to {root.bucket}"):
            root.connect(container=name).create_container(name)


def test_a_key_that_may_not_create_buckets_is_reported_with_the_missing_capability(root):
    key = root.b2.new_key(capabilities=("listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles"))
    provider = root.connect(application_key_id=key.key_id, application_key=key.key, container="new-one")
    with pytest.raises(NotFound, match="does not exist"):
        provider.check_container()
    with pytest.raises(PermissionDenied, match="lacks writeBuckets"):
        provider.create_container("new-one")


@pytest.mark.parametrize(
    "value", ["9" * 400, "9" * 5000, "9" * 20, "-" + "9" * 400, "1_000", "\u0661", " 12 ", "1e3", "0x10", "", "NaN"]
)
def test_an_invalid_time_in_file_information_is_ignored(value):
    """Others may write anything into a bucket; that must not hide the folder of the file."""
    for name in ("src_last_modified_millis", "mtime_ns"):
        info = {"fileName": "a", "contentLength": 1, "action": "upload", "fileInfo": {name: value}, "fileId": "f"}
        (found,) = objects.page({"files": [info | {"uploadTimestamp": 5000}], "nextFileName": None}, "").files
        assert (found.mtime_ns, found.modified_at) == (None, 5.0)
        assert objects.from_headers({f"x-bz-info-{name}": value}, "a", 1).mtime_ns is None


@pytest.mark.parametrize("information", [5, "x", None, [], ["a"]])
def test_invalid_file_information_affects_nothing_else(information):
    listed = {"fileName": "a", "contentLength": 1, "action": "upload", "fileInfo": information, "uploadTimestamp": 5000}
    (found,) = objects.page({"files": [listed], "nextFileName": None}, "").files
    assert (found.key, found.size_bytes, found.modified_at) == ("a", 1, 5.0)
    assert (found.mtime_ns, found.recorded_sha256, found.attributes) == (None, "", Attributes())
