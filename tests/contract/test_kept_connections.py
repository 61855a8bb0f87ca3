"""Keep-alive connections that died since the last request, for every HTTP service."""

from __future__ import annotations

from collections import Counter

import pytest

from providers.contract.context import ProviderContext
from providers.errors import Transient
from providers.testing.faults import Fault, Side
from providers.testing.support import FakeTime, content, source
from providers.testing.transfers import download, keys, read, upload
from tests.contract.harnesses import HARNESSES, only

WIRED = only(HARNESSES, lambda harness: harness.wire and "moto" not in harness.name)
"""moto's server keeps no connections alive."""
DEATHS = {"reset": Fault.reset(Side.RESPONSE, at=None), "closed": Fault.say(b"")}
"""Ways a server ends a connection after receiving the whole request."""
READS_BY_GET = {"aws_s3", "backblaze", "google_drive"}
STORES_BY_PUT = {"aws_s3"}
"""Services that store with one PUT; the others use POST, whose effect is unknown if the answer is lost."""


def counting(root, **settings):
    """A used connection that counts requests."""
    counts: Counter[str] = Counter()
    context = ProviderContext(sleep=FakeTime().sleep, count_call=lambda kind: counts.update([kind]))
    return root.ready(context=context, connection_pool_size=1, **settings), counts


@WIRED
def test_a_connection_closed_by_the_server_is_not_used(harness, root):
    """Nothing is sent over it, not even a request that must not be repeated, and nothing is retried."""
    root.plant({"there": content(1000)})
    provider, counts = counting(root, max_retries=0)
    small, large = source(root.tmp, content(10)), root.tmp / "large"
    large.write_bytes(content(2 * harness.limits.part_bytes))
    acts = (
        lambda: keys(provider),
        lambda: read(provider, "there", 0, 1000),
        lambda: upload(provider, small, "one"),
        lambda: upload(provider, large, "parts"),
        lambda: download(provider, "one", root.tmp / "target"),
        lambda: provider.remove("one"),
    )
    counts.clear()
    root.wired.forget()
    for act in acts:
        act()
        root.wired.wait_idle()
        root.wired.cut_connections()
        root.wired.wait_disconnected()
    assert set(root.stored()) == {"there", "parts"}
    assert sum(counts.values()) == root.wired.count()
    assert all(seen.status for seen in root.wired.requests), "each was answered"


@WIRED
@pytest.mark.parametrize("death", DEATHS)
def test_a_read_over_a_dying_connection_is_sent_again_if_it_is_a_get(harness, root, death):
    root.plant({"there": content(1000)})
    provider, counts = counting(root, max_retries=0)
    etag = provider.stat("there").etag
    read(provider, "there", 0, 1000, etag=etag)
    root.wired.wait_idle()
    root.wired.forget()
    counts.clear()
    reads = harness.requests.read
    rule = root.wired.fault(DEATHS[death], reads)
    if harness.service in READS_BY_GET:
        assert read(provider, "there", 0, 1000, etag=etag) == content(1000)
    else:
        with pytest.raises(Transient):
            read(provider, "there", 0, 1000, etag=etag)
    assert rule.hits == 1
    assert root.wired.count(reads) == (2 if harness.service in READS_BY_GET else 1)
    assert sum(counts.values()) == root.wired.count(), "each request sent is counted"


@WIRED
@pytest.mark.parametrize("death", DEATHS)
def test_a_read_is_sent_again_only_once(harness, root, death):
    root.plant({"there": content(1000)})
    provider, _ = counting(root, max_retries=0)
    etag = provider.stat("there").etag
    read(provider, "there", 0, 1000, etag=etag)
    root.wired.wait_idle()
    root.wired.forget()
    root.wired.fault(DEATHS[death], harness.requests.read, times=None)
    with pytest.raises(Transient):
        read(provider, "there", 0, 1000, etag=etag)
    assert root.wired.count(harness.requests.read) == (2 if harness.service in READS_BY_GET else 1)


def stored_over_a_dying_connection(harness, root, data, death, sends):
    """Uploads `data` while the connection of a request dies, once that request was written."""
    provider, counts = counting(root, max_retries=0)
    upload(provider, source(root.tmp, content(10)), "first")
    root.wired.wait_idle()
    root.wired.forget()
    counts.clear()
    rule = root.wired.fault(DEATHS[death], sends)
    again = harness.service in STORES_BY_PUT
    if again:
        upload(provider, source(root.tmp, data), "x", replaces=False)
        assert root.stored()["x"] == data
    else:
        with pytest.raises(Transient):
            upload(provider, source(root.tmp, data), "x", replaces=False)
    assert rule.hits == 1
    assert root.wired.count(sends) == (2 if again else 1)
    assert sum(counts.values()) == root.wired.count()


@WIRED
@pytest.mark.parametrize("death", DEATHS)
def test_a_store_request_is_sent_again_only_if_repeating_is_harmless(harness, root, death):
    stored_over_a_dying_connection(harness, root, content(1000), death, harness.requests.send_whole)


@WIRED
@pytest.mark.parametrize("death", DEATHS)
def test_a_part_is_sent_again_only_if_repeating_is_harmless(harness, root, death):
    data = content(3 * harness.limits.part_bytes)
    stored_over_a_dying_connection(harness, root, data, death, harness.requests.send_part(1))


@WIRED
@pytest.mark.parametrize("death", DEATHS)
def test_the_upload_loop_still_stores_it(harness, root, death):
    provider, _ = counting(root, max_retries=1)
    upload(provider, source(root.tmp, content(10)), "first")
    root.wired.fault(DEATHS[death], harness.requests.send_whole)
    upload(provider, source(root.tmp, content(1000)), "x")
    assert root.stored() == {"first": content(10), "x": content(1000)}


@WIRED
@pytest.mark.parametrize("death", DEATHS)
def test_a_delete_request_is_sent_once(harness, root, death):
    root.plant({"there": content(1000), "other": b"1"})
    provider, _ = counting(root, max_retries=0)
    provider.remove("other")
    root.wired.wait_idle()
    root.wired.forget()
    root.wired.fault(DEATHS[death], harness.requests.remove)
    with pytest.raises(Transient):
        provider.remove("there")
    assert root.wired.count(harness.requests.remove) == 1
