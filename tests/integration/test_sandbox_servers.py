"""The sandbox as a whole: it starts, stops, and goes on with its story."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from local.sandbox.scenario import EUROPE, build
from local.sandbox.scenario.orders import DE, order_id
from local.sandbox.servers import Sandbox
from tests.support.amazon_calls import SEARCH, SINCE, client_of, confirm, read, shipment, token_request
from tests.support.ports import free_port

_GOOD = shipment("de-discounted", DE.marketplace_id)


def test_state_is_kept_when_the_sandbox_is_restarted(tmp_path: Path) -> None:
    with Sandbox(build, state_dir=tmp_path) as first, client_of(first, EUROPE) as client:
        httpx.post(f"{first.amazon_url}/sandbox/clock", json={"advance_seconds": 300})
        page = client.get(f"{SEARCH}?{SINCE}&maxResultsPerPage=2").json()
        assert confirm(client, "de-discounted", _GOOD).status_code == 204
        token, before, started_at = client.headers["x-amz-access-token"], first.clock.now(), first.started_at
    with Sandbox(build, state_dir=tmp_path) as second:
        assert second.started_at == started_at
        assert second.clock.now() >= before
        assert [body["orderId"] for body in second.amazon.confirmations] == [order_id("de-discounted")]
        headers = {"x-amz-access-token": token}
        with httpx.Client(base_url=second.amazon_url, headers=headers) as client:
            rest = quote(page["pagination"]["nextToken"], safe="")
            assert client.get(f"{SEARCH}?{SINCE}&paginationToken={rest}").json()["orders"]
            assert read(client, "de-pending-then-paid")["fulfillment"]["fulfillmentStatus"] == "PENDING"
            second.clock.advance(timedelta(minutes=15))
            assert read(client, "de-discounted")["packages"][0]["packageReferenceId"] == "1"
            assert read(client, "de-pending-then-paid")["fulfillment"]["fulfillmentStatus"] == "UNSHIPPED"


@contextmanager
def _process(state_dir: Path, ports: tuple[int, int]) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The sandbox as a process of its own, with the two addresses that it prints; killed at the end."""
    command = [sys.executable, "-m", "local.sandbox", "--state-dir", str(state_dir)]
    command += ["--amazon-port", str(ports[0]), "--commerce-port", str(ports[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        try:
            assert process.stdout is not None
            amazon, commerce = (process.stdout.readline().split()[-1] for _ in range(2))
            yield process, amazon, commerce
        finally:
            process.kill()


def test_state_is_kept_when_the_process_is_killed_and_started_again(tmp_path: Path) -> None:
    ports = (free_port(), free_port())
    with _process(tmp_path, ports) as (_, amazon, commerce):
        assert (amazon, commerce) == (f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
        granted = httpx.post(f"{amazon}/auth/o2/token", data=token_request(EUROPE)).json()
        headers = {"x-amz-access-token": granted["access_token"]}
        with httpx.Client(base_url=amazon, headers=headers) as client:
            assert confirm(client, "de-discounted", _GOOD).status_code == 204

    with _process(tmp_path, ports) as (process, amazon, commerce):
        assert httpx.get(f"{commerce}/sandbox/health").json() == {"status": "ok"}
        httpx.post(f"{commerce}/sandbox/clock", json={"advance_seconds": 180})
        with httpx.Client(base_url=amazon, headers=headers) as client:
            assert read(client, "de-discounted")["packages"][0]["trackingNumber"] == "00340000000000000001"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_sandbox_is_unreachable_when_it_has_stopped() -> None:
    with Sandbox(build) as sandbox:
        url = sandbox.amazon_url
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/sandbox/health")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        Sandbox(build, amazon_port=taken.getsockname()[1]).__enter__()
