"""The environment a command was checked with (proxy, certificates, profile) stays with its job in any worker."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.instances import describing
from backup.journal import Journal, items, jobs, work
from backup.journal.records import Destination, Hold, JobRequest, NewItem
from backup.model.transfers import ItemState, JobKind, JobView
from backup.queue import environment
from backup.system.paths import Paths
from providers import registry, settings
from providers.contract.report import ErrorInfo
from providers.errors import InvalidConfiguration
from providers.remedies import Action, Remedy
from tests.backup.queue_support import Workbench, wait_until
from tests.processes import stop_worker
from tests.servers.connect_proxy import ConnectProxy
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server

HOST = "storage.test"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def bench(paths: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Workbench]:
    """A running worker whose own environment had none of these variables."""
    for name in list(os.environ):
        if name.upper().endswith(("_PROXY", "CA_BUNDLE")) or name.startswith(("AWS_", "SSL_CERT")):
            monkeypatch.delenv(name)
    opened = Workbench(paths, linger_s=60)
    (tmp_path / "file").write_bytes(b"content")
    opened.finish(opened.queue.queue_upload("local", [tmp_path / "file"]))
    assert opened.pid()
    yield opened
    opened.close()


@pytest.fixture
def proxy(rclone_s3: S3Server, tmp_path: Path) -> Iterator[ConnectProxy]:
    with ConnectProxy({HOST: rclone_s3.port}, tmp_path) as opened:
        yield opened


@pytest.fixture
def cloud(bench: Workbench, proxy: ConnectProxy, rclone_s3: S3Server) -> str:
    """The bucket of an instance that is reached only through a proxy and its CA."""
    bucket = rclone_s3.new_bucket()
    bench.configure_s3("cloud", f"https://{HOST}", bucket, max_retries=0, timeout=5)
    return bucket


def upload(bench: Workbench, tmp_path: Path, to: str) -> JobView:
    return bench.queue.queue_upload("cloud", [tmp_path / "file"], to)


WITH_PASSWORD = {"HTTPS_PROXY": "http://me:canary@127.0.0.1:1"}


def test_a_later_command_s_proxy_and_relative_ca_reach_the_worker(
    bench: Workbench,
    cloud: str,
    proxy: ConnectProxy,
    rclone_s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pid = bench.pid()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("https_proxy", proxy.url)
    monkeypatch.setenv("AWS_CA_BUNDLE", proxy.ca_file.name)
    job = upload(bench, tmp_path, "a")
    assert bench.wait_state(job, ItemState.DONE).error is None
    assert rclone_s3.objects(cloud) == {"a/file": b"content"}
    assert bench.pid() == pid
    deleted = bench.queue.queue_delete("cloud", ["a/"])  # a scan goes the same way
    assert bench.finish(deleted).counts[ItemState.DONE] == 1


def test_jobs_of_different_environments_do_not_affect_each_other(
    bench: Workbench,
    cloud: str,
    proxy: ConnectProxy,
    rclone_s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The job that cannot get through has enough files to hold up an instance."""
    (tmp_path / "many").mkdir()
    for number in range(5):
        (tmp_path / "many" / str(number)).write_bytes(b"x")
    monkeypatch.setenv("HTTPS_PROXY", NOWHERE)
    astray = bench.queue.queue_upload("cloud", [tmp_path / "many"])
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(proxy.ca_file))
    held = [bench.finish(upload(bench, tmp_path, f"to{number}")) for number in range(3)]
    assert [job.counts[ItemState.DONE] for job in held] == [1, 1, 1]
    assert len(rclone_s3.objects(cloud)) == 3
    waiting = wait_until(lambda: [item for item in bench.items(astray) if item.error], 40)
    assert all("127.0.0.1:1 refuses" in (item.error.message if item.error else "") for item in waiting)
    # The advice works: a retry brings its own environment.
    bench.queue.resume([item.id for item in bench.items(astray)])
    assert bench.finish(astray).counts[ItemState.DONE] == 5


def test_a_profile_is_stored_with_the_job_and_keys_in_the_environment_are_refused(
    bench: Workbench, rclone_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = rclone_s3.new_bucket()
    values = {"access_key": "", "secret_key": ""}
    bench.configure_s3("cloud", rclone_s3.url, bucket, max_retries=0, timeout=5, **values)
    secrets = f"[backup]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    (tmp_path / "keys").write_text(secrets)
    (tmp_path / "settings").write_text(f"[profile backup]\nregion = {REGION}\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFNOBODY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-the-chain")
    before = bench.queue.snapshot().jobs
    for queue in (upload, lambda *_: bench.queue.queue_delete("cloud", ["a/"])):
        with pytest.raises(InvalidConfiguration, match="ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY") as caught:
            queue(bench, tmp_path, "alone")
        assert "nothing was queued" in caught.value.message
        assert Remedy(Action.SET_CREDENTIALS, "cloud") in caught.value.remedies
        assert "canary" not in f"{caught.value} {caught.value.hint}"
    assert bench.queue.snapshot().jobs == before
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_PROFILE", "backup")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "keys")
    monkeypatch.setenv("AWS_CONFIG_FILE", "settings")
    assert bench.wait_state(upload(bench, tmp_path, "a"), ItemState.DONE).error is None
    assert rclone_s3.objects(bucket) == {"a/file": b"content"}
    assert b"canary-of-the-chain" not in stored(bench)
    assert "canary-of-the-chain" not in bench.log()


@pytest.mark.few(2)
@pytest.mark.parametrize(("verb", "refused"), [("resume", "nothing was resumed"), ("retry", "nothing was retried")])
@pytest.mark.parametrize("secret", [{"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "canary"}, WITH_PASSWORD])
def test_resuming_with_secrets_in_the_environment_is_refused_and_says_so(
    bench: Workbench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    refused: str,
    secret: dict[str, str],
) -> None:
    bench.configure_s3("cloud", "https://nobody.test", "bucket", access_key="", secret_key="")
    monkeypatch.setattr(bench.queue, "_try_worker", lambda: None)
    job = upload(bench, tmp_path, "a")
    for name, value in secret.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidConfiguration) as caught:
        getattr(bench.queue, verb)([], jobs=[job.id])
    assert str(caught.value).endswith(f"not written into the queue: {refused}")
    assert "canary" not in f"{caught.value} {caught.value.hint}"


PAIR = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "canary"}
ROLE = {"AWS_ROLE_ARN": "arn:aws:iam::1:role/me@home", "AWS_WEB_IDENTITY_TOKEN_FILE": "token"}
TOKEN = {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "canary"}
RELATIVE = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"}
FULL = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/creds"}
WITH_PASSWORD = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://me:canary@127.0.0.1:1/creds"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (PAIR, "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"),
        (PAIR | {"AWS_SESSION_TOKEN": "canary"}, "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN)"),
        (PAIR | {"AWS_PROFILE": "p"}, "AWS_SECRET_ACCESS_KEY"),  # in AWS the keys take precedence
        (RELATIVE | TOKEN, "(AWS_CONTAINER_AUTHORIZATION_TOKEN)"),
        (FULL | TOKEN, "(AWS_CONTAINER_AUTHORIZATION_TOKEN)"),
        (WITH_PASSWORD, "(AWS_CONTAINER_CREDENTIALS_FULL_URI)"),
    ],
)
def test_secrets_of_the_chain_are_refused_by_name(paths: Paths, given: dict[str, str], named: str) -> None:
    bench = Workbench(paths)
    bench.configure("cloud", type="aws_s3", container="c", endpoint_url="http://127.0.0.1:1")
    with pytest.raises(InvalidConfiguration) as caught:
        environment.travelling(paths, "cloud", given)
    assert named in caught.value.message
    assert Remedy(Action.SET_CREDENTIALS, "cloud") in caught.value.remedies
    assert "canary" not in f"{caught.value} {caught.value.hint}"
    # Keys or a profile in the form take precedence over all of that; no secret is stored with the job.
    for form in ({"profile": "p"}, {"profile": "", "access_key": "AK", "secret_key": "s"}):
        bench.configure("cloud", **form)
        assert "canary" not in str(environment.travelling(paths, "cloud", given))


@pytest.mark.parametrize(
    "given",
    [
        ROLE,
        RELATIVE,
        FULL,
        FULL | {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "token"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "AK"},
        {"AWS_CREDENTIAL_FILE": "keys", "BOTO_CONFIG": "~/.boto", "AWS_EC2_METADATA_DISABLED": "true"},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:2"},
    ],
)
def test_variables_that_name_a_role_are_stored_with_the_job(paths: Paths, given: dict[str, str]) -> None:
    bench = Workbench(paths)
    bench.configure("cloud", type="aws_s3", container="c", endpoint_url="http://127.0.0.1:1")
    endpoint = {"AWS_ENDPOINT_URL_SSO": "http://somebody:canary@127.0.0.1:1"}
    found = environment.travelling(paths, "cloud", given | endpoint)
    assert found.keys() == given.keys()
    for name, value in given.items():
        is_file = name.endswith("_FILE") or name == "BOTO_CONFIG"
        assert found[name] == (os.path.abspath(os.path.expanduser(value)) if is_file else value)


def test_a_profile_that_takes_its_keys_from_the_environment_is_refused_too(paths: Paths, tmp_path: Path) -> None:
    """`credential_source` of the profile, or of the one it is based on."""
    bench = Workbench(paths)
    bench.configure("cloud", type="aws_s3", container="c", endpoint_url="http://127.0.0.1:1")
    config, keys = tmp_path / "config", tmp_path / "keys"
    config.write_text(
        "[profile 'of keys']\nrole_arn = r\ncredential_source = Environment\n"
        "[profile based]\nrole_arn = r\nsource_profile = of keys\n"
        "[profile task]\nrole_arn = r\ncredential_source = EcsContainer\n"
        "[profile round]\nrole_arn = r\nsource_profile = round\n"
    )
    keys.write_text(
        "[plain]\naws_access_key_id = AK\naws_secret_access_key = s\n[odd]\ncredential_source = Environment"
    )
    files = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(keys)}
    given = files | PAIR | RELATIVE | TOKEN
    for profile, named in (
        ("of keys", "AWS_SECRET_ACCESS_KEY"),
        ("based", "AWS_SECRET_ACCESS_KEY"),
        ("odd", "AWS_SECRET_ACCESS_KEY"),
        ("task", "(AWS_CONTAINER_AUTHORIZATION_TOKEN)"),
    ):
        bench.configure("cloud", profile=profile)
        with pytest.raises(InvalidConfiguration) as caught:
            environment.travelling(paths, "cloud", given)
        assert named in caught.value.message
        assert "canary" not in f"{caught.value} {caught.value.hint}"
    for profile in ("plain", "round", "none"):
        bench.configure("cloud", profile=profile)
        assert "canary" not in str(environment.travelling(paths, "cloud", given))
    config.write_text("[profile based\n\0")  # using it reports the error
    assert "canary" not in str(environment.travelling(paths, "cloud", given))


@pytest.mark.parametrize(
    "given",
    [
        TOKEN,
        RELATIVE | TOKEN | {"AWS_PROFILE": "p"},
        RELATIVE | TOKEN | ROLE,
        FULL | TOKEN | {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "token"},
    ],
)
def test_an_unused_token_refuses_nothing_and_is_not_stored(paths: Paths, given: dict[str, str]) -> None:
    bench = Workbench(paths)
    bench.configure("cloud", type="aws_s3", container="c", endpoint_url="http://127.0.0.1:1")
    found = environment.travelling(paths, "cloud", given)
    assert found.keys() == given.keys() - TOKEN.keys()


def test_a_proxy_with_a_password_queues_nothing_and_names_the_setting(
    bench: Workbench,
    cloud: str,
    proxy: ConnectProxy,
    rclone_s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = proxy.url.replace("://", "://user:canary-of-a-proxy@")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, secret)
        with pytest.raises(InvalidConfiguration, match=f"^{name} holds a password") as caught:
            upload(bench, tmp_path, "a")
        assert caught.value.field == "proxy"
        assert Remedy(Action.SET_CREDENTIALS, "cloud", "proxy_password") in caught.value.remedies
        assert "canary" not in f"{caught.value} {caught.value.hint}"
    assert bench.queue.snapshot().jobs[0].instance == "local"
    # Neither what goes elsewhere nor what is excepted is refused; the password is not stored with the job.
    assert bench.finish(bench.queue.queue_upload("local", [tmp_path / "file"], "b")).counts[ItemState.DONE] == 1
    bench.configure_s3("near", rclone_s3.url, rclone_s3.new_bucket(), max_retries=0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    near = bench.finish(bench.queue.queue_upload("near", [tmp_path / "file"]))
    assert near.counts[ItemState.DONE] == 1
    # With the setting it is no longer refused.
    bench.configure("cloud", proxy=proxy.url, ca_bundle=str(proxy.ca_file), proxy_password="of the store")
    assert bench.finish(upload(bench, tmp_path, "a")).counts[ItemState.DONE] == 1
    assert b"canary-of-a-proxy" not in stored(bench)
    assert "canary-of-a-proxy" not in bench.log()


def test_no_worker_inherits_a_password(bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stop_worker(bench.paths)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:canary@proxy.test")
    monkeypatch.setenv("http_proxy", "http://user@proxy.test")
    bench.queue.queue_upload("local", [tmp_path / "file"], "b")
    inherited = Path(f"/proc/{bench.pid()}/environ").read_bytes()
    assert b"http_proxy=http://user@proxy.test\0" in inherited
    assert b"canary" not in inherited


def stored(bench: Workbench) -> bytes:
    return b"".join(file.read_bytes() for file in bench.paths.state_dir.rglob("*") if file.is_file())


def test_a_job_of_another_environment_is_not_held_up_by_the_first(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hold was set while there was no other environment."""
    bench = Workbench(paths)
    monkeypatch.setattr(bench.queue, "_try_worker", lambda: None)
    bench.configure_s3("cloud", "https://storage.test", "bucket")
    monkeypatch.setenv("HTTPS_PROXY", NOWHERE)
    (tmp_path / "file").write_bytes(b"x")
    upload(bench, tmp_path, "a")
    refused = Hold(instance="cloud", error=ErrorInfo("transient", "refused"), until=4e9)
    with Journal(paths.journal_file) as journal:
        with journal.transaction() as tx:
            work.hold(tx, refused)
        upload(bench, tmp_path, "b")  # the same proxy fails in the same way
        with journal.look() as db:
            assert work.holds(db) == [refused]
        monkeypatch.delenv("HTTPS_PROXY")
        upload(bench, tmp_path, "c")
        with journal.look() as db:
            assert work.holds(db) == []
    bench.queue.close()


PLACE = Destination(instance="cloud", type="aws_s3", container="c", settings="{}")
ORDER = JobRequest(kind=JobKind.UPLOAD, sources=("/a",))


def test_an_item_and_a_cleanup_know_the_environment_of_their_job(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal, journal.transaction() as tx:
        given = {"HTTPS_PROXY": NOWHERE, "AWS_CONFIG_FILE": "/\udcff"}
        ids = [
            jobs.add_job(tx, ORDER, PLACE, title="a", destination="/", now=1, variables=variables)
            for variables in (given, dict(reversed(given.items())), {}, None)
        ]
        for job_id in ids:
            jobs.add_items(tx, jobs.job(tx, job_id), [NewItem(name="a", key="a", local_path="/a")], now=1)
        claimed = items.claim(tx, "cloud", 10, now=1)
        first, second, empty, old = (item.environment_id for item in claimed)
        assert first == second != empty
        assert old is None
        assert first is not None
        assert empty is not None
        assert (jobs.variables(tx, first), jobs.variables(tx, empty)) == (given, {})
        assert jobs.environments_open(tx, "cloud") == 3
        tx.execute("INSERT INTO cleanups (item_id, instance) VALUES (?, 'cloud')", (claimed[0].id,))
        assert [cleanup.environment_id for cleanup in work.due_cleanups(tx, now=1)] == [first]
        jobs.take_over(tx, ids[2:], {"HTTPS_PROXY": NOWHERE})
        taken = [jobs.environment_of(tx, job_id) for job_id in ids[2:]]
        assert taken[0] == taken[1] is not None
        jobs.take_over(tx, ids[:1], {"AWS_PROFILE": "p"})
        merged = jobs.environment_of(tx, ids[0])
        assert merged is not None
        assert jobs.variables(tx, merged) == {**given, "AWS_PROFILE": "p"}
        with pytest.raises(sqlite3.IntegrityError):
            tx.execute("UPDATE jobs SET environment_id = 999 WHERE id = ?", (ids[0],))


@pytest.mark.parametrize(
    ("service", "carried"),
    [("local", set()), ("backblaze", {"HTTPS_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "no_proxy"})],
)
def test_only_variables_with_an_effect_are_stored(paths: Paths, service: str, carried: set[str]) -> None:
    bench = Workbench(paths)
    bench.configure("one", type=service, container="/c")
    given = {
        "HTTPS_PROXY": NOWHERE, "no_proxy": "", "SSL_CERT_FILE": "c:a.pem", "SSL_CERT_DIR": "a:/b", "AWS_PROFILE": "p",
        "PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "s", "http_proxy": "u:p@h",
    }  # fmt: skip
    found = environment.travelling(paths, "one", given)
    assert found.keys() == carried
    if carried:
        assert found["SSL_CERT_FILE"] == os.path.abspath("c:a.pem")
        assert found["SSL_CERT_DIR"] == f"{os.path.abspath('a')}:/b"


def test_a_password_in_the_file_is_refused_and_not_shown(paths: Paths) -> None:
    bench = Workbench(paths)
    bench.configure_s3("cloud", "http://127.0.0.1:1", "c", proxy="http://user:canary@h:1")
    info = describing.describe(paths, "cloud")
    assert info.problem is not None
    assert info.problem.message == "proxy: must not contain a password"
    assert "canary" not in str(info)


def test_a_relative_bundle_is_set_as_an_absolute_one(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cls = registry.spec("dropbox").settings
    assert cls is not None
    assert settings.parse(cls, "ca_bundle", " ca.pem ") == str(tmp_path / "ca.pem")
    assert settings.parse(cls, "ca_bundle", "~/ca.pem") == str(Path.home() / "ca.pem")
    assert settings.parse(cls, "ca_bundle", "") == ""


def test_a_password_typed_into_the_setting_is_refused_before_it_is_written(paths: Paths) -> None:
    for service in ("aws_s3", "backblaze", "dropbox", "google_drive"):
        cls = registry.spec(service).settings
        assert cls is not None
        with pytest.raises(InvalidConfiguration, match="must not contain a password") as caught:
            settings.parse(cls, "proxy", "http://user:canary@proxy.test:1")
        assert "canary" not in f"{caught.value} {caught.value.hint}"
