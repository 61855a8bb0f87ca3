"""Several deletes at once, each with its own outcome."""

from __future__ import annotations

import msgspec

from backup.journal.records import Ending, Item, Outcome
from backup.worker.items.judgement import Chances, judge, waits_for_credentials
from providers.base import BaseProvider
from providers.contract.cancel import CancelToken
from providers.contract.context import acting_on
from providers.errors import Cancelled, NotFound, ProviderError


def delete_many(provider: BaseProvider, group: list[Item], cancel: CancelToken, chances: Chances) -> list[Outcome]:
    """Delete several objects in as few requests as the service allows. A missing object counts as done if an earlier
    attempt may have deleted it."""
    started = chances.clock()
    keys = [item.key for item in group]
    one_by_one = group[0].last and provider.capabilities.real_folders
    remove = _remove_folders if one_by_one else _remove_many
    failures = remove(provider, keys, cancel)
    elapsed_s = (chances.clock() - started) / len(group)
    outcomes = []
    for item in group:
        failure = failures.get(item.key)
        gone = isinstance(failure, NotFound) and (item.attempts > 1 or item.last)  # a folder may go with its last file
        if failure is None or gone:
            outcome = Outcome(item_id=item.id, ending=Ending.DONE)
        else:
            outcome = judge(failure, item, chances)
        missing = isinstance(failure, NotFound) and failure.code != "NoSuchBucket"
        outcomes.append(msgspec.structs.replace(outcome, elapsed_s=elapsed_s, gone=missing))
    return outcomes


def _remove_folders(provider: BaseProvider, keys: list[str], cancel: CancelToken) -> dict[str, ProviderError]:
    """Remove folders one by one, innermost first. Folders above one that may succeed later are not requested but get
    Cancelled, so that they come after it."""
    failures: dict[str, ProviderError] = {}
    for key in keys:
        held_up = any(below.startswith(key) and not _is_final(error) for below, error in failures.items())
        if held_up:
            failures[key] = Cancelled(f"{key}: waits for a folder in it")
            continue
        try:
            with acting_on(key):
                provider.retry.run(lambda key=key: provider.remove(key), cancel)  # type: ignore[misc]
        except ProviderError as error:
            failures[key] = error
    return failures


def _is_final(error: ProviderError) -> bool:
    return not (error.retryable or isinstance(error, Cancelled) or waits_for_credentials(error))


def _remove_many(provider: BaseProvider, keys: list[str], cancel: CancelToken) -> dict[str, ProviderError]:
    """The failures by key. What may still succeed is retried as often as the settings say."""
    failures: dict[str, ProviderError] = {}
    left = keys

    def once() -> None:
        nonlocal left
        failed = provider.remove_many(left)
        failures.update({key: error for key, error in failed.items() if not error.retryable})
        left = [key for key in left if key in failed and key not in failures]
        if left:
            raise failed[left[0]]

    try:
        provider.retry.run(once, cancel)
    except ProviderError as error:
        failures.update(dict.fromkeys(left, error))
    return failures
