"""Token buckets shared through PostgreSQL: threads and processes together never take more than the bucket holds."""

from __future__ import annotations

import multiprocessing
import time
import uuid
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, make_url, select, update

from include.adapters.amazon.rate_limits import RateLimiter
from include.database.engine import make_engine
from include.database.tables import rate_limits
from include.domain.errors import ThrottledError

NEVER = Decimal("0.000001")  # one token in twelve days


def limiter_of(engine: Engine, application_id: str, account: str = "acme-na", max_wait: float = 0) -> RateLimiter:
    return RateLimiter(engine, application_id, account, "na", max_wait=timedelta(seconds=max_wait))


def take_all(limiter: RateLimiter, rate: Decimal, burst: int, tries: int) -> int:
    """How many of `tries` takes succeed."""
    taken = 0
    for _ in range(tries):
        try:
            limiter.take("searchOrders", rate, Decimal(burst))
        except ThrottledError:
            continue
        taken += 1
    return taken


def take_in_a_process(url: str, application_id: str) -> int:
    engine = make_engine(make_url(url), application_name="test_rate_limits")
    return take_all(limiter_of(engine, application_id), NEVER, burst=7, tries=6)


@pytest.fixture
def application_id() -> str:
    return f"application-{uuid.uuid4()}"


def test_burst_is_given_when_the_bucket_is_new(engine: Engine, application_id: str) -> None:
    limiter = limiter_of(engine, application_id)
    assert take_all(limiter, NEVER, burst=3, tries=6) == 3


def test_error_has_the_time_to_wait_when_the_bucket_is_empty(engine: Engine, application_id: str) -> None:
    limiter = limiter_of(engine, application_id)
    limiter.take("searchOrders", Decimal("0.0056"), Decimal(1))
    with pytest.raises(ThrottledError, match=r"acme-na.*Resolution:") as caught:
        limiter.take("searchOrders", Decimal("0.0056"), Decimal(1))
    # One token in 1 / (0.0056 * 0.9) = 198.4 seconds, less what has passed since.
    assert timedelta(seconds=150) < caught.value.retry_after < timedelta(seconds=199)


def test_call_waits_for_a_token_when_it_comes_soon(engine: Engine, application_id: str) -> None:
    limiter = limiter_of(engine, application_id, max_wait=60)
    started = time.monotonic()
    limiter.take("getOrder", Decimal(5), Decimal(1))
    limiter.take("getOrder", Decimal(5), Decimal(1))
    # The second token comes 1 / (5 * 0.9) = 0.22 seconds after the first was taken.
    assert time.monotonic() - started > 0.2


def test_call_does_not_wait_when_a_token_comes_too_late(engine: Engine, application_id: str) -> None:
    limiter = limiter_of(engine, application_id, max_wait=600)
    limiter.take("getOrder", NEVER, Decimal(1))
    started = time.monotonic()
    with pytest.raises(ThrottledError):
        limiter.take("getOrder", NEVER, Decimal(1))
    assert time.monotonic() - started < 300


def test_burst_is_given_once_when_threads_compete(engine: Engine, application_id: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        taken = threads.map(lambda _: take_all(limiter_of(engine, application_id), NEVER, burst=7, tries=3), range(8))
    assert sum(taken) == 7


def test_burst_is_given_once_when_processes_compete(engine: Engine, application_id: str) -> None:
    url = engine.url.render_as_string(hide_password=False)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        taken = list(processes.map(take_in_a_process, [url, url], [application_id, application_id]))
    assert sum(taken) == 7


def test_tokens_are_given_no_faster_than_the_rate_when_threads_compete(engine: Engine, application_id: str) -> None:
    limiter = limiter_of(engine, application_id, max_wait=120)
    started = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(limiter.take, "getOrder", Decimal(10), Decimal(2)) for _ in range(8)]:
            done.result()
    # Two at once, six more at nine a second.
    assert time.monotonic() - started > 6 / 9 - 0.01


def test_tokens_are_given_when_the_bucket_of_another_account_is_empty(engine: Engine, application_id: str) -> None:
    assert take_all(limiter_of(engine, application_id, "one"), NEVER, burst=2, tries=3) == 2
    assert take_all(limiter_of(engine, application_id, "two"), NEVER, burst=2, tries=3) == 2
    limiter_of(engine, application_id, "one").take("getOrder", NEVER, Decimal(1))


@pytest.mark.parametrize("moved", [timedelta(days=-1), timedelta(days=1)])
def test_bucket_gives_no_more_than_its_burst_when_it_is_from_another_day(
    engine: Engine, application_id: str, moved: timedelta
) -> None:
    limiter = limiter_of(engine, application_id)
    assert take_all(limiter, Decimal(1), burst=1, tries=1) == 1
    mine = rate_limits.c.application_id == application_id
    with engine.begin() as connection:
        connection.execute(
            update(rate_limits).where(mine).values(refilled_at=rate_limits.c.refilled_at + moved, tokens=0)
        )
    # A day of idling fills the bucket and no more; a clock that was set back takes nothing away and adds nothing.
    assert take_all(limiter, NEVER * 100_000, burst=3, tries=5) == (3 if moved < timedelta() else 0)


def test_new_rate_is_used_when_amazon_reports_another(engine: Engine, application_id: str) -> None:
    limiter = limiter_of(engine, application_id)
    limiter.take("searchOrders", Decimal("0.0056"), Decimal(1))
    limiter.learn("searchOrders", Decimal("0.01"))
    with pytest.raises(ThrottledError) as caught:
        limiter.take("searchOrders", Decimal("0.0056"), Decimal(1))
    # 1 / (0.01 * 0.9) = 111.1 seconds, less what has passed since.
    assert timedelta(seconds=60) < caught.value.retry_after < timedelta(seconds=112)
    with engine.connect() as connection:
        stored = connection.execute(
            select(rate_limits.c.rate_per_second).where(rate_limits.c.application_id == application_id)
        ).scalar_one()
    assert stored == Decimal("0.01")


def test_no_token_is_given_when_amazon_has_throttled_us(engine: Engine, application_id: str) -> None:
    limiter = limiter_of(engine, application_id)
    limiter.take("getOrder", Decimal(100), Decimal(30))
    limiter.block("getOrder", timedelta(minutes=60))
    limiter.block("getOrder", timedelta(seconds=1))  # the longer one stays
    with pytest.raises(ThrottledError) as caught:
        limiter_of(engine, application_id).take("getOrder", Decimal(100), Decimal(30))
    assert timedelta(minutes=55) < caught.value.retry_after <= timedelta(minutes=60)


def test_token_is_given_when_the_wait_after_throttling_is_over(engine: Engine, application_id: str) -> None:
    limiter = limiter_of(engine, application_id, max_wait=60)
    limiter.take("getOrder", Decimal(100), Decimal(30))
    started = time.monotonic()
    limiter.block("getOrder", timedelta(seconds=0.3))
    limiter.take("getOrder", Decimal(100), Decimal(30))
    assert time.monotonic() - started >= 0.29
