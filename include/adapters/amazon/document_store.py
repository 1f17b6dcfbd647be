"""Documents at addresses that Amazon gave: they bear their own right for five minutes, and no token goes there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from include.adapters.api_calls import CallRecorder
from include.adapters.http import Answer, NotAuthorizedError, Timeouts, exchange, open_client
from include.domain.errors import RefusedError, UnavailableError


@dataclass(frozen=True)
class DocumentStore:
    """Where one account's documents are uploaded and downloaded."""

    account_name: str
    connection: str
    record: CallRecorder = field(repr=False)
    timeouts: Timeouts
    user_agent: str

    def exchange(self, operation: str, request_of: Callable[[httpx.Client], httpx.Request], url: str) -> Answer:
        """Upload or download a document; the answer's document is its bytes.

        Raises UnavailableError whenever it failed: a new address may do.
        """
        origin = str(httpx.URL(url).copy_with(raw_path=b"/"))
        with open_client(
            origin, connection=self.connection, timeouts=self.timeouts, user_agent=self.user_agent
        ) as store:
            try:
                return exchange(
                    store,
                    request_of(store),
                    system="amazon",
                    connection=self.connection,
                    operation=operation,
                    is_write=False,  # what was uploaded counts for nothing until a feed is created with it
                    record=self.record,
                    read=_bytes_of,
                )
            except (NotAuthorizedError, RefusedError) as error:
                raise UnavailableError(
                    f"amazon {operation} of account {self.account_name}: refused ({error.code}); the address that "
                    "Amazon gave lives five minutes. Resolution: it is tried again with a new one."
                ) from None


def _bytes_of(response: httpx.Response) -> bytes:
    return response.content
