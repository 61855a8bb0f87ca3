"""One provider used by several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from providers.contract.upload import UploadResult
from providers.errors import Conflict
from providers.testing.harness import Harness, Root
from providers.testing.needs import needs, shows_whole_alone
from providers.testing.support import content, gone, source
from providers.testing.transfers import download, keys, upload


def test_several_uploads_and_downloads_at_once(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    provider = root.connect()
    files = {
        f"many/{number}": content(size, seed=number) for number, size in enumerate([10, part + 1, 2 * part, 0, 999])
    }
    paths = {key: source(root.tmp, data, f"source-{key[-1]}") for key, data in files.items()}
    with ThreadPoolExecutor(len(files)) as pool:
        results = list(pool.map(lambda key: upload(provider, paths[key], key), files))
    assert root.stored() == files
    assert [result.remote.key for result in results] == list(files)
    assert root.leftovers() == []

    targets = {key: root.tmp / f"target-{key[-1]}" for key in files}
    with ThreadPoolExecutor(len(files) + 2) as pool:
        listings = [pool.submit(keys, provider) for _ in range(2)]
        list(pool.map(lambda key: download(provider, key, targets[key]), files))
        assert [listing.result() for listing in listings] == [set(files)] * 2
    assert {key: target.read_bytes() for key, target in targets.items()} == files
    assert [name for name in gone(root.tmp) if name.startswith(".")] == []


@needs(shows_whole_alone)
def test_two_writers_of_one_name_leave_one_complete_object(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    versions = [content(2 * part, seed=seed) for seed in (1, 2)]
    paths = [source(root.tmp, data, f"source-{number}") for number, data in enumerate(versions)]
    providers = [root.connect() for _ in versions]

    def write(number: int) -> UploadResult | None:
        try:
            return upload(providers[number], paths[number], "x", only_if_absent=harness.capabilities.conditional_commit)
        except Conflict:
            return None

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(write, range(2)))
    (stored,) = root.stored().values()
    assert stored in versions
    assert root.leftovers() == []
    if harness.capabilities.conditional_commit:
        assert sum(result is not None for result in results) == 1


def test_deleting_and_listing_at_once(root: Root) -> None:
    objects = {f"x/{number:03}": b"1" for number in range(60)}
    root.plant(objects)
    provider = root.connect()
    doomed = [key for key in objects if key.endswith(("1", "3", "5"))]
    with ThreadPoolExecutor(6) as pool:
        listings = [pool.submit(keys, provider) for _ in range(3)]
        assert all(pool.map(provider.delete, doomed))
        assert all(set(objects) - set(doomed) <= listing.result() <= set(objects) for listing in listings)
    assert keys(provider) == set(objects) - set(doomed)
