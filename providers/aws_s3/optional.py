"""What a request asks for besides and can do without: servers exist that refuse what they do not know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from providers.errors import ProviderError, Unsupported

T = TypeVar("T")


def may_refuse_a_header(error: ProviderError) -> bool:
    """Whether an error may mean a header or parameter that the server does not know: 501, or as many say, 400."""
    return type(error) is ProviderError or (isinstance(error, Unsupported) and error.code in ("", "NotImplemented"))


class Extra:
    """Headers or parameters of one kind. Left out once a server was seen to answer only without them."""

    def __init__(self) -> None:
        self.understood = True

    def ask(self, fields: Mapping[str, str], call: Callable[[Mapping[str, str]], T]) -> T:
        """`call` with the fields, or without them where they are refused. Raises ProviderError."""
        if not self.understood or not fields:
            return call({})
        try:
            return call(fields)
        except ProviderError as error:
            if not may_refuse_a_header(error):
                raise
        answer = call({})
        self.understood = False
        return answer
