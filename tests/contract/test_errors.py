"""Each kind of failure has its error class; no SDK exception and no secret gets through."""

from __future__ import annotations

import logging
import re

import pytest

from backup.system import logs
from providers.errors import Authentication
from providers.testing.harness import Operation
from providers.testing.suite.service.test_errors import *  # noqa: F403
from providers.testing.support import content
from providers.testing.transfers import keys, run


def test_the_debug_log_holds_no_secret(harness, root, paths):
    """Several SDKs log headers, some of them bodies, at DEBUG. Nothing is redacted by name here: these secrets did not
    come from the credential store."""
    file = logs.set_up(paths, "contract", verbose=True)
    logging.getLogger("providers").debug("it is written")
    provider = root.connect(max_retries=0)
    root.plant({"there": content(1000)})
    for operation in Operation:
        run(operation, harness, root, provider)
    if harness.wrong_credentials:
        with pytest.raises(Authentication):
            keys(root.connect(**harness.wrong_credentials))
    logs.close()
    text = file.read_text()
    assert "it is written" in text
    secrets = (*root.secrets, *map(str, harness.wrong_credentials.values()))
    assert [secret for secret in secrets if secret in text] == []
    assert re.findall(r"(?:bearer |signature=|authorization\W+)\w{8,}.*", text, re.IGNORECASE) == []
