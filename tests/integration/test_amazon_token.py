"""The Amazon client's tokens are shared, renewed in time and asked for once; wrong credentials; server time."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.domain.errors import MisconfiguredError, OutcomeUnknownError, ThrottledError, UnavailableError
from local.sandbox.faults import FaultKind
from tests.support.amazon_account import NO_ANSWER, ORDER_ID, Account, account, package
from tests.support.odd_server import Odd, Reply, odd
from tests.support.waiting import patience

__all__ = ["account", "odd"]  # fixtures: the tests name them as arguments

CLOCK = timedelta(milliseconds=1)


# The local Amazon


def test_token_is_shared_when_two_clients_have_the_same_credentials(account: Account) -> None:
    for _ in range(2):
        with account.client() as client:
            client.get_order(ORDER_ID)
    assert account.sent("token") == 1


def test_token_is_requested_once_when_threads_start_together(account: Account) -> None:
    with account.client() as client, ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(lambda _: client.get_order(ORDER_ID), range(8)))) == 8
    assert account.sent("token") == 1


def test_token_is_renewed_once_when_it_expires_under_many_threads(account: Account) -> None:
    with account.client() as client, ThreadPoolExecutor(6) as threads:
        client.get_order(ORDER_ID)
        account.sandbox.clock.advance(timedelta(hours=2))
        assert len(list(threads.map(lambda _: client.get_order(ORDER_ID), range(6)))) == 6
    assert account.sent("token") == 2


def test_error_names_account_and_connection_when_the_fresh_token_is_refused_too(account: Account) -> None:
    account.script("searchOrders", "expired_token", times=2)
    with (
        account.client() as client,
        pytest.raises(MisconfiguredError, match=r"acme-na.*amazon_sp_api.*roles") as caught,
    ):
        client.search_orders(account.query(), None)
    assert account.sent("searchOrders") == 2
    assert account.sent("token") == 2
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"client_secret": "planted-wrong"}, "invalid_client"),
        ({"client_id": "planted-unknown"}, "invalid_client"),
        ({"refresh_token": "planted-revoked"}, "invalid_grant"),
    ],
)
def test_error_names_the_connection_when_the_credentials_are_wrong(
    account: Account, change: dict[str, Any], code: str
) -> None:
    expected = pytest.raises(MisconfiguredError, match=rf"{code}.*Resolution:.*amazon_sp_api")
    with account.client(**change) as client, expected as caught:
        client.search_orders(account.query(), None)
    assert account.sent("token") == 1
    assert account.sent("searchOrders") == 0
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_shipment_is_not_in_doubt_when_there_is_no_usable_answer_about_the_token(
    account: Account, kind: FaultKind
) -> None:
    account.script("token", kind)
    with account.client(timeouts=patience(kind)) as client:
        with pytest.raises(UnavailableError, match="token") as caught:
            client.confirm_shipment(ORDER_ID, package())
        assert not isinstance(caught.value, OutcomeUnknownError)  # the shipment itself was never sent
        client.confirm_shipment(ORDER_ID, package())


def test_call_waits_as_long_as_the_login_says_when_the_login_throttles(account: Account) -> None:
    account.script("token", "throttle", retry_after=3)
    with account.client() as client, pytest.raises(ThrottledError) as caught:
        client.get_order(ORDER_ID)
    assert caught.value.retry_after == timedelta(seconds=3)


@pytest.mark.parametrize("name", ["client_id", "client_secret", "refresh_token"])
def test_error_names_the_credential_when_one_is_missing(account: Account, name: str) -> None:
    with pytest.raises(MisconfiguredError, match=f"amazon_sp_api: {name} is missing"):
        change: dict[str, Any] = {name: ""}
        account.client(**change)


def test_server_time_is_asked_for_when_there_was_no_answer_yet(account: Account) -> None:
    account.sandbox.clock.advance(timedelta(days=3))
    for asked in (1, 2):  # the second client has the shared token, yet asks: the first one's clock is not its own
        with account.client() as client:
            assert abs(client.server_time() - account.sandbox.clock.now()) < timedelta(minutes=1)
            assert client.server_time().tzinfo is UTC
            assert account.sent("token") == asked


# A login that says anything


def token_reply(life: object, token: object = "Atza|x") -> Reply:
    return (
        200,
        {"Date": "Sat, 21 Nov 2026 10:00:00 GMT"},
        json.dumps({"access_token": token, "expires_in": life}).encode(),
    )


@pytest.mark.parametrize(
    "reply",
    [token_reply("soon"), token_reply(0), token_reply(None), token_reply(3600, ""), token_reply(3600, "a\r\nb")],
)
def test_call_is_unavailable_when_the_token_answer_is_unusable(account: Account, odd: Odd, reply: Reply) -> None:
    odd.replies = [reply]
    with account.client(token_url=odd.url) as client, pytest.raises(UnavailableError, match="no usable token"):
        client.get_order(ORDER_ID)


@pytest.mark.parametrize(("life", "asked"), [(3600, 1), (60, 2)])
def test_token_is_renewed_early_when_it_is_about_to_expire(account: Account, odd: Odd, life: int, asked: int) -> None:
    odd.replies = [token_reply(life, account.sandbox.amazon.issue_token(account.application))]
    with account.client(token_url=odd.url) as client:
        client.get_order(ORDER_ID)
        client.get_order(ORDER_ID)
    assert len(odd.seen) == asked


def test_server_time_follows_the_login_when_its_answer_has_a_date(account: Account, odd: Odd) -> None:
    odd.replies = [token_reply(3600)]
    with account.client(token_url=odd.url) as client:
        outer = time.monotonic()
        first = client.server_time()
        inner = time.monotonic()
        time.sleep(0.01)
        within = timedelta(seconds=time.monotonic() - inner)
        passed = client.server_time() - first
        assert within - CLOCK <= passed <= timedelta(seconds=time.monotonic() - outer) + CLOCK
        assert timedelta() <= first - datetime(2026, 11, 21, 10, tzinfo=UTC) < timedelta(minutes=1)


def test_server_time_is_unavailable_when_no_answer_has_a_date(account: Account, odd: Odd) -> None:
    odd.replies = [(200, {}, token_reply(3600)[2])]
    with account.client(token_url=odd.url) as client, pytest.raises(UnavailableError, match="Date header"):
        client.server_time()
