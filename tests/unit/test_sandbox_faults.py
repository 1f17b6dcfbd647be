"""Scripted faults: which request meets which fault, and what an HTTP client sees of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from local.sandbox.faults import Fault, FaultScript
from local.sandbox.scenario import EUROPE, build
from local.sandbox.scenario.orders import DE, item_id, order_id
from local.sandbox.servers import Sandbox
from tests.support.waiting import SLOW_SECONDS, wait_until

_SLUG = "de-discounted"
_PATH = f"/orders/v0/orders/{order_id(_SLUG)}/shipmentConfirmation"
_READ = f"/orders/2026-01-01/orders/{order_id(_SLUG)}"
_BODY = {
    "marketplaceId": DE.marketplace_id,
    "packageDetail": {
        "packageReferenceId": "1",
        "carrierCode": "DHL",
        "trackingNumber": "00340000000000000001",
        "shipDate": "2026-11-20T10:00:00Z",
        "orderItems": [{"orderItemId": item_id(_SLUG, 1), "quantity": 1}],
    },
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(build) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    token = sandbox.amazon.issue_token(EUROPE)
    with httpx.Client(base_url=sandbox.amazon_url, headers={"x-amz-access-token": token}, timeout=5) as client:
        yield client


def test_faults_strike_in_turn_when_they_have_skips_and_times() -> None:
    script = FaultScript()
    script.add(Fault("getOrder", "throttle", times=2, skip=1))
    script.add(Fault("getOrder", "empty_500"))
    met = [fault.kind if (fault := script.take("getOrder")) else None for _ in range(5)]
    assert met == [None, "throttle", "throttle", "empty_500", None]
    assert script.pending() == []
    assert script.calls == {"getOrder": 5}


def test_fault_does_not_strike_when_it_is_for_another_operation() -> None:
    script = FaultScript()
    script.add(Fault("token", "dropped"))
    assert script.take("getOrder") is None
    assert [fault["operation"] for fault in script.pending()] == ["token"]


def test_fault_strikes_any_operation_when_it_is_for_every_one() -> None:
    script = FaultScript()
    script.add(Fault("*", "dropped", times=2))
    assert script.take("token") is not None
    assert script.take("getOrder") is not None
    assert script.take("getOrder") is None


def test_no_fault_strikes_when_the_script_was_cleared() -> None:
    script = FaultScript()
    script.add(Fault("*", "dropped", times=9))
    script.clear()
    assert script.take("token") is None


def test_fault_is_refused_when_its_kind_is_unknown() -> None:
    with pytest.raises(ValueError, match="unknown fault kind 'explode'"):
        Fault("token", "explode")  # type: ignore[arg-type]


def test_answer_says_how_long_to_wait_when_a_throttle_names_it(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.amazon_faults.add(Fault("confirmShipment", "throttle", retry_after=7))
    answer = client.post(_PATH, json=_BODY)
    assert answer.status_code == 429
    assert answer.json()["errors"][0]["code"] == "QuotaExceeded"
    assert answer.headers["retry-after"] == "7"
    assert "x-amzn-ratelimit-limit" not in answer.headers
    assert answer.headers["x-amzn-requestid"]
    assert sandbox.amazon.confirmations == []


@pytest.mark.parametrize(("kind", "status"), [("html_500", 500), ("html_503", 503), ("empty_500", 500)])
def test_call_fails_and_does_nothing_when_it_meets_a_gateway_fault(
    sandbox: Sandbox, client: httpx.Client, kind: str, status: int
) -> None:
    sandbox.amazon_faults.add(Fault("confirmShipment", kind))  # type: ignore[arg-type]
    answer = client.post(_PATH, json=_BODY)
    assert answer.status_code == status
    assert answer.text.startswith("<html>") == kind.startswith("html")
    assert bool(answer.content) == kind.startswith("html")
    assert sandbox.amazon.confirmations == []
    assert client.post(_PATH, json=_BODY).status_code == 204


def test_slow_work_is_done_when_the_client_waits(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.amazon_faults.add(Fault("confirmShipment", "slow", seconds=0.3))
    started = time.monotonic()
    assert client.post(_PATH, json=_BODY).status_code == 204
    assert time.monotonic() - started >= 0.3
    assert len(sandbox.amazon.confirmations) == 1


def test_slow_work_is_done_all_the_same_when_the_client_gives_up(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.amazon_faults.add(Fault("confirmShipment", "slow", seconds=SLOW_SECONDS))
    with pytest.raises(httpx.ReadTimeout):
        client.post(_PATH, json=_BODY, timeout=0.2)
    wait_until(lambda: len(sandbox.amazon.confirmations) == 1, "the work that the client did not wait for")


def test_work_is_done_when_its_reply_is_lost(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.amazon_faults.add(Fault("confirmShipment", "lost_reply"))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        client.post(_PATH, json=_BODY)
    assert [body["packageDetail"]["packageReferenceId"] for body in sandbox.amazon.confirmations] == ["1"]
    sandbox.clock.advance(timedelta(minutes=3))
    order = client.get(_READ, params={"includedData": "PACKAGES"}).json()["order"]
    assert [package["packageReferenceId"] for package in order["packages"]] == ["1"]


def test_nothing_is_done_when_the_request_is_dropped(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.amazon_faults.add(Fault("confirmShipment", "dropped"))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        client.post(_PATH, json=_BODY)
    assert sandbox.amazon.confirmations == []


def test_good_token_is_refused_once_when_the_fault_calls_it_expired(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.amazon_faults.add(Fault("getOrder", "expired_token"))
    answer = client.get(_READ)
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["code"] == "Unauthorized"
    assert "expired" in answer.json()["errors"][0]["details"]
    assert client.get(_READ).status_code == 200


def test_answer_cannot_be_parsed_when_its_json_is_broken(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.amazon_faults.add(Fault("getOrder", "broken_json"))
    answer = client.get(_READ)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()


def test_control_routes_set_faults_and_clock_when_used_over_http(sandbox: Sandbox, client: httpx.Client) -> None:
    assert client.get("/sandbox/health").json() == {"status": "ok"}
    fault = {"operation": "getOrder", "kind": "empty_500", "times": 2, "skip": 1}
    assert client.post("/sandbox/faults", json=fault).status_code == 201
    assert [client.get(_READ).status_code for _ in range(2)] == [200, 500]
    assert client.get("/sandbox/faults").json()[0]["times"] == 1
    assert client.delete("/sandbox/faults").json() == {"pending": []}
    assert client.get(_READ).status_code == 200
    assert client.get("/sandbox/calls").json() == {"getOrder": 3}

    before = sandbox.clock.now()
    assert client.post("/sandbox/clock", json={"advance_seconds": 900}).status_code == 200
    assert sandbox.clock.now() - before >= timedelta(seconds=900)
    assert client.get("/sandbox/clock").json()["now"] >= (before + timedelta(seconds=900)).isoformat()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sandbox/clock", b'{"advance_seconds": -1}'),
        ("/sandbox/clock", b"[]"),
        ("/sandbox/clock", b"{}"),
        ("/sandbox/faults", b'{"operation": "token", "kind": "explode"}'),
        ("/sandbox/faults", b"not json"),
    ],
)
def test_control_route_names_an_error_when_the_body_is_wrong(client: httpx.Client, path: str, body: bytes) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
