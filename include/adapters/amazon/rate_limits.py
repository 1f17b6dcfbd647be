"""Token buckets in `ops.rate_limits`: every process that calls Amazon for an account draws from the same ones.

The only writer of `ops.rate_limits`. Amazon's plans belong to application, account, region and operation:
https://developer-docs.amazon.com/sp-api/docs/usage-plans-and-rate-limits (checked 2026-11).
"""

from __future__ import annotations

import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Engine, Numeric, extract, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from include.database.locks import autocommit
from include.database.tables import rate_limits
from include.domain.errors import ThrottledError

# Amazon's own refill is uneven: at the full published rate 429s are certain.
USED_SHARE = Decimal("0.9")

_DECIMALS = 6  # resolution of the columns


class RateLimiter:
    """The buckets of one account. All times are the database's, so that the clocks of workers do not matter.

    `max_wait` is the longest sleep inside one `take`.
    """

    def __init__(
        self,
        engine: Engine,
        application_id: str,
        account_name: str,
        region: str,
        *,
        max_wait: timedelta = timedelta(seconds=5),
    ) -> None:
        self._engine = engine
        self._bucket = {"application_id": application_id, "account_name": account_name, "region": region}
        self._max_wait = max_wait
        self._learned: dict[str, Decimal] = {}

    def take(self, operation: str, rate: Decimal, burst: Decimal, *, keep: int = 0) -> None:
        """Take one token of `operation`; sleep for it if it comes within `max_wait`.

        `rate` (requests per second) and `burst` (requests) are the published plan; a rate that Amazon has sent since
        goes before it. What can wait leaves `keep` tokens to what cannot. Raises ThrottledError with the time until the
        next token.
        """
        deadline = time.monotonic() + self._max_wait.total_seconds()
        while True:
            wait = self._try_to_take(operation, rate, burst, keep)
            if wait is None:
                return
            if time.monotonic() + wait > deadline:
                raise ThrottledError(
                    f"amazon {operation} of {self._bucket['account_name']}: our share of Amazon's quota is used up. "
                    f"Resolution: it is tried again in {wait:.0f} s; nothing to do.",
                    timedelta(seconds=wait),
                )
            time.sleep(wait)

    def learn(self, operation: str, rate: Decimal) -> None:
        """Keep the rate (requests per second) that Amazon's x-amzn-RateLimit-Limit has sent for `operation`."""
        if self._learned.get(operation) == rate:
            return
        changed = update(rate_limits).where(*self._key(operation), rate_limits.c.rate_per_second != rate)
        with autocommit(self._engine) as connection:
            connection.execute(changed, {"rate_per_second": rate})
        self._learned[operation] = rate

    def block(self, operation: str, retry_after: timedelta) -> None:
        """Stop all calls of `operation` for `retry_after`: Amazon has answered 429. A longer block stays."""
        now = func.clock_timestamp()
        with autocommit(self._engine) as connection:
            connection.execute(
                update(rate_limits)
                .where(*self._key(operation))
                .values(
                    tokens=0,
                    refilled_at=now,
                    blocked_until=func.greatest(func.coalesce(rate_limits.c.blocked_until, now), now + retry_after),
                )
            )

    def _key(self, operation: str) -> list[ColumnElement[bool]]:
        return [rate_limits.c[name] == value for name, value in (self._bucket | {"operation": operation}).items()]

    def _try_to_take(self, operation: str, rate: Decimal, burst: Decimal, keep: int) -> float | None:
        """None when a token was taken, otherwise the seconds until there can be one.

        Each statement commits by itself. A second taker waits for the first one's row, then reads what it left: a clock
        read before that would be from before its refilled_at.
        """
        columns, now = rate_limits.c, func.clock_timestamp()
        elapsed = func.greatest(extract("epoch", now - columns.refilled_at).cast(Numeric), 0)
        tokens = func.least(burst, columns.tokens + elapsed * columns.rate_per_second * USED_SHARE)
        taken = (
            update(rate_limits)
            .where(
                *self._key(operation),
                tokens >= 1 + keep,
                or_(columns.blocked_until.is_(None), columns.blocked_until <= now),
            )
            .values(tokens=func.trunc(tokens - 1, _DECIMALS), burst=burst, refilled_at=now, blocked_until=None)
        )
        missing = (1 + keep - tokens) / (columns.rate_per_second * USED_SHARE)
        blocked = func.coalesce(extract("epoch", columns.blocked_until - now), 0)
        wait = select(func.greatest(missing, blocked, Decimal("0.001"))).where(*self._key(operation))
        with autocommit(self._engine) as connection:
            if connection.execute(taken).rowcount:
                return None
            first: dict[str, Any] = self._bucket | {"operation": operation, "rate_per_second": rate, "burst": burst}
            first |= {"tokens": burst, "refilled_at": now}
            is_new = connection.execute(insert(rate_limits).values(first).on_conflict_do_nothing()).rowcount
            if is_new and connection.execute(taken).rowcount:
                return None
            return float(connection.execute(wait).scalar_one())
