"""Uploads in one request, shared by all services."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import pytest

from providers.contract.upload import Part, PartBody, PartReceipt, UploadRequest
from providers.errors import Integrity, NotFound
from providers.http.one_request import OneRequestUpload, agree


class Session(OneRequestUpload):
    """Has a running request over a real connection."""

    def __init__(self) -> None:
        super().__init__(UploadRequest(key="k", size_bytes=1, part_size_bytes=1))
        self.ours, self.theirs = socket.socketpair()
        self._calls.begin().watch(self.ours)

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        raise NotImplementedError


def test_an_upload_is_complete_or_absent() -> None:
    session = Session()
    with session.ours, session.theirs:
        assert session.token is None
        assert session.confirmed() == ()
        with pytest.raises(NotFound, match="nothing was sent"):
            session.commit([])


def test_an_interruption_ends_the_request() -> None:
    session = Session()
    with session.ours, session.theirs:
        session.theirs.settimeout(5)
        session.interrupt()
        assert session.theirs.recv(1) == b""


@pytest.mark.parametrize(
    ("reported", "fits"),
    [
        ({"md5": "aa"}, True),
        ({"md5": "bb"}, False),
        ({}, True),
        ({"sha1": "bb"}, True),
        ({"md5": "aa", "crc": "b"}, True),
    ],
)
def test_a_reported_checksum_must_match_ours(reported: dict[str, str], fits: bool) -> None:
    sent = {"md5": "aa"}
    if fits:
        agree(reported, sent, "k")
        return
    with pytest.raises(Integrity, match="md5 is bb at the service, aa for the sent bytes"):
        agree(reported, sent, "k")
