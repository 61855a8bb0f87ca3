"""Everything opened is closed."""

from __future__ import annotations

import gc
import os
import sys
import threading

import pytest

from providers.contract.cancel import CancelToken
from providers.errors import ProviderError
from providers.testing.fault_proxy import THREAD_NAME
from providers.testing.faults import Fault
from providers.testing.support import Progress, content, source
from providers.testing.transfers import download, keys, read, upload
from tests.backup.queue_support import wait_until

FDS = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"


def threads():
    return {thread for thread in threading.enumerate() if thread.name != THREAD_NAME}


def use(harness, root):
    provider = root.connect()
    part = harness.limits.part_bytes
    upload(provider, source(root.tmp, content(100)), "small")
    upload(provider, source(root.tmp, content(3 * part)), "big")
    download(provider, "big", root.tmp / "target")
    keys(provider)
    reader = provider.read_range("big", 0, 3 * part)
    next(iter(reader))
    reader.close()
    provider.delete("big")
    with pytest.raises(ProviderError):
        read(provider, "big", 0, 1)
    with pytest.raises(ProviderError):
        upload(
            provider,
            source(root.tmp, content(3 * part)),
            "cancelled",
            cancel=(cancel := CancelToken()),
            progress=Progress(part, lambda done: cancel.cancel()),
        )
    provider.close()
    provider.close()


def test_nothing_is_left_open(harness, root):
    use(harness, root)  # creates what an SDK keeps for the life of the process
    if root.proxy:
        root.proxy.wait_disconnected(5)
    gc.collect()
    before, running = len(os.listdir(FDS)), threads()
    for _ in range(3):
        use(harness, root)
    gc.collect()
    if root.proxy:
        root.proxy.wait_disconnected(5)
    wait_until(lambda: len(os.listdir(FDS)) <= before, 5)  # a server in this process closes its side later
    assert threads() <= running


def test_closing_an_unused_provider_works(root):
    provider = root.connect()
    provider.close()
    provider.close()
    assert root.proxy is None or root.proxy.requests == ()


def test_construction_does_no_io(harness, root):
    provider = root.connect(**harness.missing_container)
    assert provider.capabilities
    assert provider.location
    assert root.proxy is None or (root.proxy.requests, root.proxy.open_connections) == ((), 0)


def test_a_failing_service_leaves_no_open_connection(harness, root):
    if root.proxy is None:
        provider = root.connect(**harness.missing_container)
    else:
        provider = root.connect(max_retries=0)
        root.proxy.fault(Fault.status(500), times=None)
    for _ in range(3):
        with pytest.raises(ProviderError):
            provider.list_files()
    provider.close()
    gc.collect()
    if root.proxy:
        root.proxy.wait_disconnected(5)
    assert not [thread for thread in threads() if thread.name.startswith(("part", "hasher"))]
