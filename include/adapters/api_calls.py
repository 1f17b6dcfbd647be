"""Every HTTP request to Amazon and Commerce becomes one row of `ops.api_calls`: no bodies, no query strings.

The only writer of `ops.api_calls`.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import SQLAlchemyError

from include.database.locks import autocommit
from include.database.tables import api_calls
from include.domain.errors import UnavailableError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApiCall:
    """One HTTP request: the columns of `ops.api_calls`.

    `status_code` is None when no answer came, `rate_limit` is Amazon's rate in requests per second, `called_at` UTC.
    """

    system_code: str
    connection: str
    operation: str
    status_code: int | None
    is_throttled: bool
    rate_limit: Decimal | None
    request_id: str | None
    duration_ms: int
    called_at: datetime


class CallRecorder(Protocol):
    """Takes note of one request. Must not raise: the answer of the request matters more than its record."""

    def __call__(self, call: ApiCall) -> None: ...


def throttled_since(connection: Connection, since: datetime) -> set[str]:
    """The Airflow connections over which a system answered 429 since then."""
    query = select(api_calls.c.connection).where(api_calls.c.called_at > since, api_calls.c.is_throttled)
    return set(connection.execute(query.distinct()).scalars())


class DatabaseCallRecorder:
    """Writes each request to `ops.api_calls` by a statement that commits by itself.

    Its own transaction, because a request that was sent stays sent when the caller's work is rolled back.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, call: ApiCall) -> None:
        """Insert the row. A database error is logged as a warning and goes no further."""
        try:
            with autocommit(self._engine) as connection:
                connection.execute(insert(api_calls), asdict(call))
        except (SQLAlchemyError, UnavailableError) as error:
            log.warning(
                "%s %s was not recorded in ops.api_calls (%s)", call.system_code, call.operation, type(error).__name__
            )
