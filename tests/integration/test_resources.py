"""Airflow connections of every documented shape become working clients and engines; what is wrong in one is named."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from include.domain.errors import MisconfiguredError
from include.settings import Settings
from tests.support.airflow_dags import connections, resources
from tests.support.road import SHOP, Road

Extra = dict[str, Any]
SECRETS = ("planted-secret", "planted-token")


@pytest.fixture
def amazon_extra(road: Road) -> Extra:
    """The extra of the account acme-na that the sandbox accepts."""
    application = next(a for a in road.scenario.applications if a.region == "na")
    return application.connection_extra(road.sandbox.amazon_url)


@pytest.fixture
def shop_extra(road: Road) -> Extra:
    """The extra of the shop that the sandbox accepts."""
    return road.scenario.commerce.credentials() | {"admin_url": f"{road.sandbox.commerce_url}/admin/"}


@pytest.fixture
def offline(connect: Callable[..., None]) -> Iterator[resources.Resources]:
    """The resources of one task that gets no further than its connections."""
    connect("orders_db", conn_type="postgres", host="db.invalid", schema="orders")
    with resources.Resources(Settings()) as task:
        yield task


AMAZON = {
    "token_url": "https://login.example/auth/o2/token",
    "client_id": "planted-id",
    "client_secret": "planted-secret",
    "refresh_token": "planted-token",
    "seller_id": "A1EXAMPLESELLER",
    "region": "na",
}
COMMERCE = {
    "auth": "oauth1",
    "consumer_key": "planted-key",
    "consumer_secret": "planted-secret",
    "access_token": "planted-token",
    "access_token_secret": "planted-secret",
}


def error_of(call: Callable[[], Any]) -> str:
    """The text of the MisconfiguredError that `call` raises; it never shows a secret."""
    with pytest.raises(MisconfiguredError) as caught:
        call()
    assert not [secret for secret in SECRETS if secret in str(caught.value)]
    return str(caught.value)


# Amazon and Commerce


def shapes(url: str) -> dict[str, dict[str, Any]]:
    """The ways to write the sandbox's address in a connection."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    return {
        "host with scheme and port": {"host": url},
        "host with scheme, and port": {"host": f"http://{host}", "port": port},
        "host, schema and port": {"host": host, "schema": "http", "port": port},
        "host with port, and schema": {"host": f"{host}:{port}", "schema": "http"},
        "host with a slash at its end": {"host": f"{url}/"},
        "port twice": {"host": url, "port": port},
    }


@pytest.mark.parametrize("shape", list(shapes("http://h:1")))
def test_amazon_client_works_when_the_address_is_written_in_a_documented_way(
    shape: str, road: Road, wired: resources.Resources, connect: Callable[..., None], amazon_extra: Extra
) -> None:
    connect("amazon_sp_api", **shapes(road.sandbox.amazon_url)[shape], extra=amazon_extra)
    client = wired.amazon("acme-na")
    page = client.search_orders(
        {"marketplaceIds": "ATVPDKIKX0DER", "lastUpdatedAfter": "2026-01-01T00:00:00Z", "maxResultsPerPage": "1"}, None
    )
    assert page.orders == []
    assert road.sandbox.amazon_faults.calls["searchOrders"] == 1
    assert wired.amazon("acme-na") is client
    assert road.value("select count(*) from ops.rate_limits where account_name = 'acme-na'") == 1


@pytest.mark.parametrize("shape", list(shapes("http://h:1")))
def test_commerce_client_works_when_the_address_is_written_in_a_documented_way(
    shape: str, road: Road, wired: resources.Resources, connect: Callable[..., None], shop_extra: Extra
) -> None:
    connect(SHOP, **shapes(road.sandbox.commerce_url)[shape], extra=shop_extra)
    assert set(wired.commerce(SHOP).store_views()) == {"default", "ca", "de", "uk", "jp"}
    assert wired.commerce(SHOP) is wired.commerce(SHOP)


def test_commerce_client_works_when_the_extra_is_text(
    road: Road, wired: resources.Resources, connect: Callable[..., None], shop_extra: Extra
) -> None:
    connect(SHOP, host=road.sandbox.commerce_url, extra=json.dumps(shop_extra))
    assert wired.commerce(SHOP).store_views()


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "shop.example"}, "https://shop.example"),
        ({"host": "shop.example", "port": 8443}, "https://shop.example:8443"),
        ({"host": "https://na1.example/tenant"}, "https://na1.example/tenant"),
        ({"host": "https://na1.example/tenant", "port": 443}, "https://na1.example:443/tenant"),
        ({"host": "na1.example/tenant/8", "port": 443}, "https://na1.example:443/tenant/8"),
        ({"host": "https://na1.example:8443/tenant", "port": 8443}, "https://na1.example:8443/tenant"),
        ({"host": "http://[::1]", "port": 8802}, "http://[::1]:8802"),
        ({"host": "http://[::1]:8802", "port": 8802}, "http://[::1]:8802"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_address_is_put_together_when_the_connection_has_its_parts(
    connect: Callable[..., None], fields: dict[str, Any], url: str
) -> None:
    connect("somewhere", **fields)
    assert connections._url(connections._connection("somewhere")) == url


@pytest.mark.parametrize("auth", ["oauth1", "bearer", None])
def test_commerce_client_works_when_it_authorizes_by_oauth_or_bearer(
    auth: str | None, road: Road, wired: resources.Resources, connect: Callable[..., None], shop_extra: Extra
) -> None:
    if auth is None:
        del shop_extra["auth"]
    else:
        shop_extra["auth"] = auth
    needed = ["auth", "access_token"] if auth == "bearer" else list(shop_extra)
    connect(SHOP, host=road.sandbox.commerce_url, extra={key: shop_extra[key] for key in needed})
    assert wired.commerce(SHOP).store_views()


def test_commerce_client_is_made_when_it_authorizes_by_ims(
    offline: resources.Resources, connect: Callable[..., None]
) -> None:
    extra = {"auth": "ims", "edition": "saas", "token_url": "https://ims.example/token", "client_id": "a"}
    extra |= {"client_secret": "planted-secret", "org_id": "b@AdobeOrg"}
    connect(SHOP, host="https://na1-sandbox.api.example/tenant", extra=extra)
    assert offline.commerce(SHOP)
    connect("other_shop", host="https://na1-sandbox.api.example/tenant", extra=extra | {"org_id": ""})
    assert "org_id" in error_of(lambda: offline.commerce("other_shop"))


@pytest.mark.parametrize("key", ["token_url", "client_id", "client_secret", "refresh_token", "seller_id", "region"])
@pytest.mark.parametrize("spoil", [lambda extra, key: extra.pop(key), lambda extra, key: extra.update({key: ""})])
def test_error_names_the_key_when_the_extra_for_amazon_lacks_one(
    key: str,
    spoil: Callable[[Extra, str], Any],
    offline: resources.Resources,
    connect: Callable[..., None],
) -> None:
    extra = dict(AMAZON)
    spoil(extra, key)
    connect("amazon_sp_api", host="https://amazon.example", extra=extra)
    said = error_of(lambda: offline.amazon("acme-na"))
    assert f"'amazon_sp_api' lacks {key} in its extra. Resolution: " in said
    assert "docs/configuration.md" in said


@pytest.mark.parametrize(
    ("auth", "keys"),
    [
        ("oauth1", ["consumer_key", "consumer_secret", "access_token", "access_token_secret"]),
        ("bearer", ["access_token"]),
        ("ims", ["token_url", "client_id", "client_secret", "org_id"]),
    ],
)
def test_error_names_every_key_when_the_extra_for_commerce_lacks_all(
    auth: str, keys: list[str], offline: resources.Resources, connect: Callable[..., None]
) -> None:
    connect(SHOP, host="https://shop.example", extra={"auth": auth})
    said = error_of(lambda: offline.commerce(SHOP))
    assert f"Connection {SHOP}" in said
    assert ", ".join(keys) in said
    assert "Resolution: " in said


@pytest.mark.parametrize(
    ("extra", "named"), [({"auth": "basic"}, "oauth1, bearer, ims"), ({"edition": "cloud"}, "paas or saas")]
)
def test_error_names_the_choices_when_a_word_is_unknown(
    extra: Extra, named: str, offline: resources.Resources, connect: Callable[..., None]
) -> None:
    connect(SHOP, host="https://shop.example", extra=COMMERCE | extra)
    assert named in error_of(lambda: offline.commerce(SHOP))


@pytest.mark.parametrize(("key", "value"), [("seller_id", "A9OTHERSELLER"), ("region", "eu")])
def test_error_names_both_values_when_the_connection_is_of_another_seller_or_region(
    key: str, value: str, offline: resources.Resources, connect: Callable[..., None]
) -> None:
    connect("amazon_sp_api", host="https://amazon.example", extra=AMAZON | {key: value})
    said = error_of(lambda: offline.amazon("acme-na"))
    for part in ("acme-na", "amazon_sp_api", key, value, AMAZON[key], "Resolution: "):
        assert part in said


@pytest.mark.parametrize("host", ["http://amazon.example", "http://10.0.0.7:8801", "http://localhost.example"])
def test_clients_are_refused_when_plain_http_leaves_the_machine(
    host: str, offline: resources.Resources, connect: Callable[..., None]
) -> None:
    connect("amazon_sp_api", host=host, extra=AMAZON)
    connect(SHOP, host=host, extra=COMMERCE)
    for name, call in (("amazon_sp_api", lambda: offline.amazon("acme-na")), (SHOP, lambda: offline.commerce(SHOP))):
        said = error_of(call)
        assert f"Connection {name}: plain http is refused" in said
        assert "https" in said


def test_clients_are_refused_when_only_the_token_leaves_the_machine_in_clear(
    offline: resources.Resources, connect: Callable[..., None]
) -> None:
    connect("amazon_sp_api", host="https://amazon.example", extra=AMAZON | {"token_url": "http://login.example/"})
    assert "plain http is refused for login.example" in error_of(lambda: offline.amazon("acme-na"))
    ims = {"auth": "ims", "token_url": "http://ims.example", "client_id": "a", "client_secret": "b", "org_id": "c"}
    connect(SHOP, host="https://shop.example", extra=ims)
    assert "plain http is refused for ims.example" in error_of(lambda: offline.commerce(SHOP))


@pytest.mark.parametrize(
    "content",
    [None, "", "{not json", '{"conn_type": "http", "surprise": "planted-secret"}'],
    ids=["absent", "empty", "not JSON", "unknown field"],
)
def test_error_names_the_connection_when_it_cannot_be_read(
    content: str | None, offline: resources.Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is None:
        monkeypatch.delenv("AIRFLOW_CONN_COMMERCE_API", raising=False)
    else:
        monkeypatch.setenv("AIRFLOW_CONN_COMMERCE_API", content)
    said = error_of(lambda: offline.commerce(SHOP))
    assert "'commerce_api'" in said
    assert "AIRFLOW_CONN_COMMERCE_API" in said


def test_error_names_the_missing_key_when_the_extra_cannot_be_read(
    offline: resources.Resources, connect: Callable[..., None]
) -> None:
    connect("amazon_sp_api", host="https://amazon.example", extra="{planted-secret")
    assert "lacks token_url" in error_of(lambda: offline.amazon("acme-na"))


def test_error_names_the_account_when_it_left_the_stores_file(offline: resources.Resources) -> None:
    said = error_of(lambda: offline.amazon("acme-mars"))
    assert "'acme-mars'" in said
    assert "stores.yaml" in said


def test_admin_url_is_the_shops_own_when_it_names_one(
    offline: resources.Resources, connect: Callable[..., None]
) -> None:
    connect(SHOP, host="https://shop.example", extra=COMMERCE | {"admin_url": "https://shop.example/backend/"})
    assert offline.admin_urls() == {SHOP: "https://shop.example/backend"}
    connect(SHOP, host="https://shop.example", extra=COMMERCE)
    assert offline.admin_urls() == {SHOP: None}


def test_admin_url_is_unknown_when_the_connection_is_missing(
    offline: resources.Resources, caplog: pytest.LogCaptureFixture
) -> None:
    assert offline.admin_urls() == {SHOP: None}
    assert f"stores with connection {SHOP} cannot be created" in caplog.text
    assert "Resolution:" in caplog.text


def test_error_names_the_setting_when_there_is_no_key() -> None:
    with resources.Resources(Settings()) as task:
        assert "ORDERS_PII_KEYS" in error_of(lambda: task.cipher)


def test_clients_are_closed_when_a_task_has_ended(
    road: Road, connect: Callable[..., None], amazon_extra: Extra, shop_extra: Extra, wired: resources.Resources
) -> None:
    connect("amazon_sp_api", host=road.sandbox.amazon_url, extra=amazon_extra)
    connect(SHOP, host=road.sandbox.commerce_url, extra=shop_extra)
    with resources.Resources(Settings()) as task:
        seller, shop = task.amazon("acme-na"), task.commerce(SHOP)
    for use in (seller.server_time, shop.store_views):
        with pytest.raises(RuntimeError, match="closed"):
            use()


# Databases


def test_another_stores_file_is_read_when_the_setting_names_it(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("accounts: []", encoding="utf-8")
    with resources.Resources(Settings(stores_file=str(tmp_path / "mine.yaml"))) as task:
        assert "mine.yaml" in error_of(lambda: task.stores)


def test_log_shows_no_secret_when_clients_are_made(
    road: Road,
    wired: resources.Resources,
    connect: Callable[..., None],
    amazon_extra: Extra,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    connect("amazon_sp_api", host=road.sandbox.amazon_url, extra=amazon_extra)
    wired.amazon("acme-na").server_time()
    assert "amazon token" in caplog.text
    for key in ("client_secret", "refresh_token"):
        assert amazon_extra[key] not in caplog.text
