"""No transfer is done before it is proved: a server that stores or returns other bytes is detected."""

from __future__ import annotations

import hashlib

import pytest

from providers.errors import Integrity
from providers.testing.faults import Fault, Side
from providers.testing.harness import Harness, Root
from providers.testing.needs import WIRED, can_damage_unfinished, needs
from providers.testing.support import Memory, Progress, content, gone, source
from providers.testing.transfers import download, upload

pytestmark = pytest.mark.usefixtures("learnt")


def test_the_proof_that_this_server_reaches(harness: Harness, root: Root) -> None:
    provider = root.connect()
    small = upload(provider, source(root.tmp, content(1000)), "small")
    parts = upload(provider, source(root.tmp, content(2 * harness.limits.part_bytes + 1)), "parts")
    assert (small.proof, parts.proof) == (harness.limits.proof_of_one, harness.limits.proof_of_parts)


def test_the_sha256_is_always_returned(harness: Harness, root: Root) -> None:
    for size in (0, 1000, harness.limits.part_bytes + 1):
        data = content(size)
        result = upload(root.connect(), source(root.tmp, data), f"x{size}")
        assert result.sha256 == hashlib.sha256(data).hexdigest()
        assert download(root.connect(), f"x{size}", root.tmp / "target").sha256 == result.sha256


@WIRED
@pytest.mark.parametrize("parts", [0.1, 3])
@pytest.mark.parametrize("at", [0, 100_000])
def test_bytes_damaged_once_on_the_way_up_are_sent_again(harness: Harness, root: Root, parts: float, at: int) -> None:
    data = content(int(parts * harness.limits.part_bytes))
    provider = root.connect()
    rule = root.wired.fault(Fault.flip(Side.REQUEST, at), when=harness.requests.sends)
    if parts > 1 and not harness.limits.finds_damage_by_part:
        with pytest.raises(Integrity):
            upload(provider, source(root.tmp, data), "x")
        assert root.stored() == {}
    upload(provider, source(root.tmp, data), "x")
    assert rule.hits == 1
    assert root.stored() == {"x": data}
    assert root.leftovers() == []


@WIRED
@pytest.mark.parametrize("parts", [0.1, 3])
@pytest.mark.parametrize("remembered", [False, True])
def test_bytes_always_damaged_on_the_way_up_are_never_a_success(
    harness: Harness, root: Root, parts: float, remembered: bool
) -> None:
    provider = root.connect()
    root.wired.fault(Fault.flip(Side.REQUEST, 10_000), when=harness.requests.sends, times=None)
    progress = Progress()
    data = content(int(parts * harness.limits.part_bytes))
    with pytest.raises(Integrity):
        upload(provider, source(root.tmp, data), "x", progress=progress, checkpoint=Memory() if remembered else None)
    assert progress.calls[-1] != (len(data), len(data))
    assert parts < 1 or root.stored() == {}
    assert root.leftovers() == []


@WIRED
@pytest.mark.parametrize("parts", [0.1, 3])
def test_bytes_damaged_on_the_way_down_are_never_a_success(harness: Harness, root: Root, parts: float) -> None:
    data = content(int(parts * harness.limits.part_bytes))
    provider = root.connect()
    upload(provider, source(root.tmp, data), "x")
    target = root.tmp / "target"
    target.write_bytes(b"older")
    rule = root.wired.fault(Fault.flip(Side.RESPONSE, 10_000), when=harness.requests.read, times=None)
    with pytest.raises(Integrity):
        download(provider, "x", target)
    assert target.read_bytes() == b"older"
    assert gone(root.tmp, but=("target", "source.bin")) == []
    rule.release()
    download(provider, "x", target)
    assert target.read_bytes() == data


def test_bit_rot_is_detected_by_the_recorded_checksum(root: Root) -> None:
    data = content(20_000)
    provider = root.connect()
    sent = upload(provider, source(root.tmp, data), "x")
    root.damage("x")
    target = root.tmp / "target"
    with pytest.raises(Integrity):
        download(root.connect(), "x", target, expected_sha256=sent.sha256)
    assert not target.exists()


def test_an_object_of_another_program_is_proved_too(harness: Harness, root: Root) -> None:
    data = content(2 * harness.limits.part_bytes)
    root.plant({"x": data})
    result = download(root.connect(), "x", root.tmp / "target")
    assert result.proof is not None
    assert (root.tmp / "target").read_bytes() == data


@needs(can_damage_unfinished)
def test_bytes_changed_by_the_disk_are_detected_by_reading_back(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    damage = harness.damage_unfinished
    assert damage is not None
    watch = Progress(3 * part, lambda done: damage(root))
    with pytest.raises(Integrity):
        upload(root.connect(connection_pool_size=1), source(root.tmp, content(4 * part)), "x", progress=watch)
