"""The sandbox in Docker Compose: every worker reaches the same one, each through a loopback port of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from include.adapters.commerce.auth import build_auth
from local.sandbox.faults import Fault
from local.sandbox.scenario import build
from local.sandbox.servers import Sandbox
from tests.support.ports import free_port
from tests.support.waiting import PATIENT, wait_until

CHECKOUT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yaml").read_text(encoding="utf-8"))
PROGRAM: str = COMPOSE["configs"]["sandbox-loopback"]["content"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The sandbox at another address than 127.0.0.1, as in a container of its own."""
    ports = free_port(), free_port()
    with Sandbox(build(datetime.now(UTC)), host="127.0.0.2", amazon_port=ports[0], commerce_port=ports[1]) as running:
        yield running


@pytest.fixture
def loopback(sandbox: Sandbox, tmp_path: Path) -> Iterator[list[str]]:
    """What runs in each worker, on the ports of the test. The addresses of Amazon and of the shop there."""
    program = tmp_path / "sandbox_loopback.py"
    urls = [url.replace("127.0.0.2", "127.0.0.1") for url in (sandbox.amazon_url, sandbox.commerce_url)]
    text = PROGRAM
    for port, url in zip(("8801", "8802"), urls, strict=True):
        assert text.count(port) == 2, "once in the text above the program, once in it"
        text = text.replace(port, url.rpartition(":")[2])
    program.write_text(text, encoding="utf-8")
    with subprocess.Popen([sys.executable, str(program)], env={"SANDBOX_HOST": "127.0.0.2"}) as process:
        try:
            for url in urls:
                wait_until(lambda url=url: answers(url), "the loopback to listen")
            yield urls
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/sandbox/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_signed_request_is_admitted_when_it_comes_through_the_loopback(sandbox: Sandbox, loopback: list[str]) -> None:
    extra = sandbox.commerce.seed.credentials()
    auth = build_auth(extra, "commerce_api", record=lambda *_, **__: None, timeouts=PATIENT)
    views = httpx.get(f"{loopback[1]}/rest/V1/store/storeViews", auth=auth, trust_env=False)
    assert views.status_code == 200
    assert [view["code"] for view in views.json()] == ["admin", "default", "ca", "de", "uk", "jp"]
    catalog = f"{loopback[1]}/rest/V1/products?searchCriteria%5BpageSize%5D=100"
    with httpx.Client(auth=auth, trust_env=False) as client:
        assert {client.get(catalog).json()["total_count"] for _ in range(3)} == {20}


def test_connection_is_closed_when_the_sandbox_hangs_up(sandbox: Sandbox, loopback: list[str]) -> None:
    sandbox.amazon_faults.add(Fault("token", "dropped"))
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{loopback[0]}/auth/o2/token", data={}, trust_env=False)
    assert httpx.post(f"{loopback[0]}/auth/o2/token", data={}, trust_env=False).status_code == 400


def test_connection_is_closed_when_there_is_no_sandbox(sandbox: Sandbox, loopback: list[str]) -> None:
    sandbox.__exit__(None, None, None)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{loopback[0]}/sandbox/health", trust_env=False)
