"""An answer with status 200 is a delete only if it is the documented one and names the requested object."""

from __future__ import annotations

import pytest

from providers.errors import ProviderError
from providers.testing.faults import Fault
from providers.testing.needs import WIRED

NO_DELETES = {
    "a page": "<!DOCTYPE html><html><body>Sign in</body></html>",
    "an error after a byte order mark": "\ufeff<Error><Code>AccessDenied</Code></Error>",
    "a nested error": "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>",
    "an error in capitals": "<ERROR><Code>AccessDenied</Code></ERROR>",
    "another root": "<Other/>",
    "text": "OK",
    "a list": "[]",
    "null": "null",
    "nothing in it": "{}",
    "an error in JSON": '{"error": {"code": 403}}',
    "another file": '{"fileName": "b", "action": "hide", "id": "b", "trashed": false, "metadata": {"name": "b"}}',
}


@WIRED
def test_an_answer_that_confirms_no_delete_is_no_success(harness, root):
    root.plant({"a": b"1", "b": b"2"})
    provider = root.connect(max_retries=0)
    assert provider.delete("b") is True
    for name, body in NO_DELETES.items():
        rule = root.wired.fault(Fault.status(200, body), when=harness.requests.remove, times=None)
        with pytest.raises(ProviderError):
            provider.delete("a")
        assert rule.hits, name
        rule.release()
    assert root.stored() == {"a": b"1"}
    assert provider.delete("a") is True
