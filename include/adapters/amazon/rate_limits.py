"""Token buckets in `ops.rate_limits`: every process that calls Amazon for an account draws from the same ones.

The only writer of `ops.rate_limits`. Amazon's plans belong to application, account, region and operation:
https://developer-docs.amazon.com/sp-api/docs/usage-plans-and-rate-limits (checked 2026-11).
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, select, update
from sqlalchemy.dialects.postgresql import insert

from include.database.tables import rate_limits
from include.domain.errors import ThrottledError

# Amazon's own refill is uneven: at the full published rate 429s are certain.
USED_SHARE = Decimal("0.9")

_STEP = Decimal("0.000001")  # resolution of the columns


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
        changed = update(rate_limits).where(*self._key(operation), rate_limits.c.rate_per_second != rate)
        with self._engine.begin() as connection:
            connection.execute(changed, {"rate_per_second": rate})

    def block(self, operation: str, retry_after: timedelta) -> None:
        """Stop all calls of `operation` for `retry_after`: Amazon has answered 429. A longer block stays."""
        now = func.clock_timestamp()
        with self._engine.begin() as connection:
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
        """One transaction: None when a token was taken, otherwise the seconds until there can be one."""
        first: dict[str, Any] = self._bucket | {"operation": operation, "rate_per_second": rate, "burst": burst}
        first |= {"tokens": burst, "refilled_at": func.clock_timestamp()}
        with self._engine.begin() as connection:
            connection.execute(insert(rate_limits).values(first).on_conflict_do_nothing())
            row = connection.execute(select(rate_limits).where(*self._key(operation)).with_for_update()).one()
            # Asked after the lock: a clock read before it would be from before the previous holder's refilled_at.
            now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
            used_rate = row.rate_per_second * USED_SHARE
            elapsed = Decimal(max((now - row.refilled_at).total_seconds(), 0))
            tokens = min(burst, row.tokens + elapsed * used_rate)
            blocked = (row.blocked_until - now).total_seconds() if row.blocked_until else 0.0
            if tokens < 1 + keep or blocked > 0:
                return max(blocked, float((1 + keep - tokens) / used_rate), 0.001)
            connection.execute(
                update(rate_limits)
                .where(*self._key(operation))
                .values(
                    tokens=(tokens - 1).quantize(_STEP, rounding=ROUND_FLOOR),
                    burst=burst,
                    refilled_at=now,
                    blocked_until=None,
                )
            )
            return None
