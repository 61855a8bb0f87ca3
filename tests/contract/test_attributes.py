"""Modes, owners and groups of files: stored with the object and restored as far as allowed."""

from __future__ import annotations

import json
import stat
from urllib.parse import quote

from providers.testing.suite.objects.test_attributes import *  # noqa: F403
from providers.testing.suite.objects.test_attributes import mode_of, with_mode
from providers.testing.transfers import download, upload
from tests.contract.harnesses import HARNESSES, only
from tests.servers import hostile

KEEPS_MODES = only(HARNESSES, lambda harness: harness.wire and harness.capabilities.modes)
NO_MODES = ["", "-1", "0o600", "33152", "40700", "120777", "100600, 100600", "1e5", "NaN", "9" * 20, None]


def in_properties(text):
    def change(item):
        properties = item.get("properties") or {}
        if properties.pop("mode", None) and text is not None:
            properties["mode"] = text

    def spell(data):
        if not data.startswith(b"{"):
            return data
        found = json.loads(data)
        for item in (found, *found.get("files", [])):
            change(item)
        return json.dumps(found).encode()

    return hostile.body(spell)


def with_stored_mode(service, text):
    """An edit of an answer about the object: the mode stored with it is `text`, or missing for None."""
    if service == "google_drive":
        return in_properties(text)
    name = {"aws_s3": "X-Amz-Meta-Mode", "backblaze": "X-Bz-Info-Mode"}[service]
    if text is None:
        return hostile.without(name)
    return hostile.respelt(name, lambda _: quote(text, safe=", ") if service == "backblaze" else text)


@KEEPS_MODES
def test_an_object_with_an_impossible_mode_or_none_gets_the_usual_one(harness, root):
    upload(root.connect(), with_mode(root.tmp, b"data", 0o600), "key")
    assert root.connect().stat("key").attributes.mode == stat.S_IFREG | 0o600
    for text in NO_MODES:
        rule = root.wired.fault(hostile.odd(with_stored_mode(harness.service, text)), times=None)
        provider = root.connect(max_retries=0)
        found = provider.stat("key").attributes
        assert (found.mode, found.ignored) == (None, text is not None), text
        download(provider, "key", root.tmp / "target")
        assert (mode_of(root.tmp / "target"), (root.tmp / "target").read_bytes()) == (0o644, b"data"), text
        assert rule.hits
        rule.release()
        (root.tmp / "target").unlink()
