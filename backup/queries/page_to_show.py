"""A page of a listing for somebody to look at: what can be read of it, where that is not all."""

from __future__ import annotations

from collections.abc import Callable

from providers.base import BaseProvider
from providers.contract.cancel import CancelToken, acting_for
from providers.contract.listing import parts_are_taken
from providers.contract.objects import Page
from providers.errors import IncompleteListing, ProviderError, Transient


def page_to_show(provider: BaseProvider, scan: Callable[[], Page], cancel: CancelToken) -> Page:
    """As `scan`, retried as the instance's settings say. Where an answer is damaged, or breaks off each time, what can
    be read of it: `unread` says why that is not all. Nobody may act on it."""
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
