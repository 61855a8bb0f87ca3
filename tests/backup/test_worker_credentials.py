"""The worker and the credential store: it waits for what is locked or missing, says so, and continues by itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.config import file as config
from backup.core.core import Core
from backup.credentials import Credentials, CredentialStore, CredentialStoreError, unlocking
from backup.credentials.vault import VaultKeyring, vault_path
from backup.credentials.vault_file.file import VaultFile
from backup.model.credentials import StoreBackend, StoreState
from backup.model.transfers import ItemState, JobView
from backup.queries.client import QuestionsClient
from backup.queries.questions import ListPage
from backup.rpc import Client, ConnectionLost
from backup.system.paths import Paths
from providers.errors import ProviderError
from providers.remedies import Action, Remedy
from providers.secret import Secret
from tests.backup.queue_support import Workbench, wait_until
from tests.backup.vault_tools import CHEAP, PASSPHRASE
from tests.processes import child_that_answers
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server

KEYS = Credentials(username=ACCESS_KEY, password=Secret(SECRET_KEY))


class Vaulted:
    """A service whose store is a vault, locked at first, and an S3 instance with its keys in it."""

    def __init__(self, paths: Paths, bench: Workbench, server: S3Server) -> None:
        self.paths = paths
        self.bench = bench
        self.core = Core(paths)
        self.core._opened.queue = bench.queue  # whose workers have the arguments of the bench
        self.server = server
        self.bucket = server.new_bucket()
        VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE, label="mine")
        bench.configure(
            "cloud",
            type="aws_s3",
            endpoint_url=server.url,
            container=self.bucket,
            region=REGION,
            timeout=10,
            retry_delay=0.05,
        )
        self.core.credentials.use(StoreBackend.VAULT)
        VaultKeyring(vault_path(paths)).unlock(PASSPHRASE)
        CredentialStore(paths).set("cloud", KEYS)
        self.lock_here()

    def lock_here(self) -> None:
        """As if this process had just started."""
        unlocking.lock(self.paths, StoreBackend.VAULT)

    def upload(self, name: str) -> JobView:
        source = self.paths.config_dir / name
        source.write_bytes(os.urandom(1000))
        return self.core.queue.queue_upload("cloud", [source])

    def linger(self) -> None:
        """Make workers stay when idle, for tests that have to meet the same one again."""
        self.bench.queue.close()
        self.bench.queue = self.core._opened.queue = Workbench(self.paths, linger_s=60).queue

    def is_held(self, job: JobView) -> bool:
        return self.core.queue.job(job.id).held is not None


@pytest.fixture
def vaulted(paths: Paths, bench: Workbench, rclone_s3: S3Server) -> Iterator[Vaulted]:
    made = Vaulted(paths, bench, rclone_s3)
    yield made
    made.lock_here()


def test_items_wait_for_a_locked_vault_and_continue_after_unlocking(vaulted: Vaulted) -> None:
    first, second = vaulted.upload("first"), vaulted.upload("second")
    item = vaulted.bench.wait_state(first, ItemState.WAITING)
    assert item.error is not None
    assert (item.error.kind, item.error.code) == ("vault_locked", "locked")
    assert item.error.remedies == (Remedy(Action.UNLOCK_STORE),)
    wait_until(lambda: vaulted.is_held(second))
    assert isinstance(item.error.error(), ProviderError)
    vaulted.core.credentials.unlock(PASSPHRASE)
    for job in (first, second):
        done = vaulted.bench.finish(job)
        assert done.counts[ItemState.DONE] == 1
        assert done.held is None
    assert vaulted.server.keys(vaulted.bucket) == {"first", "second"}


def test_after_a_kill_the_worker_needs_the_key_again(vaulted: Vaulted) -> None:
    vaulted.core.credentials.unlock(PASSPHRASE)
    vaulted.bench.finish(vaulted.upload("first"))
    vaulted.lock_here()
    job = vaulted.upload("second")  # by a process that never had the key, and (soon) a new worker
    if vaulted.core.credentials.facts().worker_unlocked:
        vaulted.bench.finish(job)
        wait_until(lambda: vaulted.bench.pid() is None)
        job = vaulted.upload("third")
    assert vaulted.bench.wait_state(job, ItemState.WAITING).error is not None
    vaulted.core.credentials.unlock(PASSPHRASE)
    vaulted.bench.finish(job)


def test_a_worker_of_an_earlier_process_is_unlocked_by_a_later_one(vaulted: Vaulted, paths: Paths) -> None:
    """Two front ends: the first queued, and is gone; the second unlocks."""
    job = vaulted.upload("first")
    vaulted.bench.wait_state(job, ItemState.WAITING)
    vaulted.bench.queue.close()
    later = Core(paths)
    later.credentials.unlock(PASSPHRASE)
    wait_until(lambda: later.queue.job(job.id).finished)
    assert later.queue.job(job.id).counts[ItemState.DONE] == 1
    later.close()


def test_a_process_with_the_key_starts_a_worker_that_never_waits_for_it(vaulted: Vaulted) -> None:
    vaulted.core.credentials.unlock(PASSPHRASE)
    job = vaulted.upload("first")
    vaulted.bench.finish(job)
    assert "is held" not in vaulted.bench.log()
    (item,) = vaulted.bench.items(job)
    assert item.attempts == 1


def test_after_locking_later_items_wait(vaulted: Vaulted) -> None:
    vaulted.linger()
    vaulted.core.credentials.unlock(PASSPHRASE)
    vaulted.bench.finish(vaulted.upload("first"))
    assert vaulted.core.credentials.facts().worker_unlocked is True
    vaulted.core.credentials.lock()
    assert vaulted.core.credentials.facts().worker_unlocked is False
    vaulted.bench.wait_state(vaulted.upload("second"), ItemState.WAITING)


def test_a_later_process_takes_the_key_from_a_worker_that_has_it(vaulted: Vaulted, paths: Paths) -> None:
    """So that a passphrase is typed once; but not from a worker that had to forget it, or whose key was renewed."""
    vaulted.bench.queue.close()
    lingering = Workbench(paths, linger_s=60)
    vaulted.bench.queue = vaulted.core._opened.queue = lingering.queue
    vaulted.core.credentials.unlock(PASSPHRASE)
    lingering.finish(vaulted.upload("first"))
    asked: list[int] = []

    def ask() -> Secret:
        asked.append(1)
        return PASSPHRASE

    vaulted.lock_here()  # as in another process
    vaulted.core.credentials.open(ask)
    assert vaulted.core.credentials.status().state is StoreState.READY
    assert asked == []
    vaulted.lock_here()
    VaultFile(vault_path(paths), cost=CHEAP).renew_key(VaultFile(vault_path(paths)).open(PASSPHRASE), [PASSPHRASE])
    vaulted.core.credentials.open(ask)
    assert asked == [1]
    vaulted.core.credentials.lock()
    vaulted.core.credentials.open()
    assert vaulted.core.credentials.status().state is StoreState.LOCKED
    assert unlocking.handover(paths) is None


_ASKS = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.settimeout(20)
    sock.connect(sys.argv[1])
    try:
        sock.sendall(b'{"id": 1, "method": "handover", "params": {}}\\n')
        print(sock.recv(4096).decode())
    except (BrokenPipeError, ConnectionResetError):
        print("")
"""


def test_a_process_of_another_user_gets_no_key_even_where_it_reaches_the_socket(vaulted: Vaulted, paths: Paths) -> None:
    vaulted.bench.queue.close()
    lingering = Workbench(paths, linger_s=60)
    vaulted.bench.queue = vaulted.core._opened.queue = lingering.queue
    vaulted.core.credentials.unlock(PASSPHRASE)
    lingering.finish(vaulted.upload("first"))
    assert paths.worker_socket.stat().st_mode & 0o777 == 0o600
    with tempfile.TemporaryDirectory() as folder:
        reached = Path(folder) / "socket"
        os.chmod(folder, 0o755)
        os.link(paths.worker_socket, reached)
        reached.chmod(0o666)
        asks = [sys.executable, "-c", _ASKS, str(reached)]
        as_other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *asks]
        own, other = (
            subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd="/")
            for command in (asks, as_other)
        )
    assert '"key"' in own.stdout
    assert other.stdout.strip() == ""
    wait_until(lambda: "refused: a process of user 65534" in lingering.log())
    assert json.loads(own.stdout)["result"]["key"] not in lingering.log()


def test_a_key_of_another_vault_is_refused_by_the_worker(vaulted: Vaulted, paths: Paths, tmp_path: Path) -> None:
    other = VaultFile(tmp_path / "other" / "vault.json", cost=CHEAP).create(PASSPHRASE)
    vaulted.linger()
    vaulted.bench.wait_state(vaulted.upload("first"), ItemState.WAITING)
    with Client.connect(paths.worker_socket) as client:
        with pytest.raises(ProviderError) as caught:
            client.call("unlock", {"key": other.handover().reveal()}, timeout_s=5)
        assert caught.value.kind == "vault_locked"
        with pytest.raises(ProviderError) as caught:
            client.call("unlock", {"key": "no key at all"}, timeout_s=5)
        assert caught.value.kind == "vault_wrong_key"
        with pytest.raises((ProviderError, ConnectionLost)):
            client.call("unlock", {}, timeout_s=5)
    assert "no key at all" not in vaulted.bench.log()
    assert other.handover().reveal() not in vaulted.bench.log()


def test_the_next_item_uses_a_changed_key(vaulted: Vaulted) -> None:
    vaulted.core.credentials.unlock(PASSPHRASE)
    vaulted.bench.finish(vaulted.upload("first"))
    vaulted.core.credentials.set("cloud", None, Secret("a wrong key, typed by mistake"))
    job = vaulted.upload("second")
    item = vaulted.bench.wait_state(job, ItemState.WAITING)
    assert item.error is not None
    assert item.error.kind == "authentication"
    vaulted.core.credentials.set("cloud", None, Secret(SECRET_KEY))
    vaulted.bench.finish(job)
    assert vaulted.server.keys(vaulted.bucket) == {"first", "second"}


def test_items_wait_for_a_missing_entry(vaulted: Vaulted, paths: Paths) -> None:
    vaulted.core.credentials.unlock(PASSPHRASE)
    CredentialStore(paths).erase("cloud")
    job = vaulted.upload("first")
    item = vaulted.bench.wait_state(job, ItemState.WAITING)
    assert item.error is not None
    assert item.error.code == "missing"
    vaulted.core.credentials.set("cloud", ACCESS_KEY, Secret(SECRET_KEY))
    assert vaulted.bench.finish(job).counts[ItemState.DONE] == 1


def test_a_folder_download_says_what_it_waits_for(vaulted: Vaulted, tmp_path: Path) -> None:
    """Nothing was listed yet, so no item can say it."""
    vaulted.server.put(vaulted.bucket, "folder/file", b"there")
    job = vaulted.core.queue.queue_download("cloud", ["folder/"], tmp_path / "back")
    wait_until(lambda: vaulted.is_held(job))
    held = vaulted.core.queue.job(job.id).held
    assert held is not None
    assert held.kind == "vault_locked"
    vaulted.core.credentials.unlock(PASSPHRASE)
    vaulted.bench.finish(job)
    assert (tmp_path / "back" / "folder" / "file").read_bytes() == b"there"


def test_a_worker_opens_the_vault_by_its_key_file(vaulted: Vaulted, paths: Paths) -> None:
    vaulted.core.credentials.unlock(PASSPHRASE)
    key = vaulted.core.credentials.add_key_slot("job")
    file = paths.config_dir / "job.key"
    file.write_text(key.reveal())
    file.chmod(0o600)
    with config.edit(paths) as draft:
        draft.open_store_with(key_file=str(file))
    vaulted.lock_here()
    vaulted.bench.finish(vaulted.upload("first"))


def test_a_worker_opens_the_vault_by_password_command(vaulted: Vaulted, paths: Paths, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    script = tmp_path / "command"
    script.write_text(f"#!/bin/sh\necho once >>{asked}\necho '{PASSPHRASE.reveal()}'\n")
    script.chmod(0o700)
    with config.edit(paths) as draft:
        draft.open_store_with(password_command=[str(script)])
    jobs = [vaulted.upload("first"), vaulted.upload("second")]
    for job in jobs:
        vaulted.bench.finish(job)
    assert asked.read_text().count("once") <= 2  # once for each worker, not for each item


def test_the_query_process_gets_the_key_and_forgets_it_on_request(vaulted: Vaulted, paths: Paths) -> None:
    with contextlib.closing(QuestionsClient(paths)) as client:
        with pytest.raises(CredentialStoreError) as caught:
            client.ask(ListPage("cloud"))
        assert caught.value.kind == "vault_locked"
        vaulted.core.credentials.unlock(PASSPHRASE)
        assert (client.ask(ListPage("cloud"))).files == ()
        child = child_that_answers()
        assert child is not None
        os.kill(child, signal.SIGKILL)  # its successor gets the key too
        assert (client.ask(ListPage("cloud"))).files == ()
        vaulted.core.credentials.lock()
        with pytest.raises(CredentialStoreError):
            client.ask(ListPage("cloud"))
