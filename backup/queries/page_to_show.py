"""A page of a listing to be shown, even if only a part of it can be read."""

from __future__ import annotations

from collections.abc import Callable

from providers.base import BaseProvider
from providers.contract.cancel import CancelToken, acting_for
from providers.contract.listing import parts_are_taken
from providers.contract.objects import Page
from providers.errors import IncompleteListing, ProviderError, Transient


def page_to_show(provider: BaseProvider, scan: Callable[[], Page], cancel: CancelToken) -> Page:
    """As `scan`, retried according to the instance's settings. If an answer is damaged, or breaks off each time,
    returns the readable part, with the reason in `unread`. Such a page is only for display."""
    try:
        return provider.retry.run(scan, cancel)
    except IncompleteListing as error:
        part: Page = error.page
    except Transient as error:
        if not error.cut_short:
            raise
        try:
            with parts_are_taken(), acting_for(cancel):
                return scan()
        except IncompleteListing as incomplete:
            part = incomplete.page
        except ProviderError:
            raise error from None
    return part
