"""Each mistake in stores.yaml, at Amazon or in a shop is found before an order meets it; nothing is changed."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.adapters.commerce.rights import CREATE_ORDERS, CUSTOMERS, LEGACY_STOCK, NEEDED, SALES_STOCK, Right
from include.adapters.stores_file import load_stores
from include.database.check import newest_version
from include.domain.errors import MisconfiguredError
from include.domain.stores import FixedCustomer
from include.steps import check_setup
from local.sandbox.faults import Fault
from tests.support.checked_setup import Installation, change_stores, installation, the_problem
from tests.support.road import SHOP, Road

__all__ = ["installation"]  # a fixture: the tests name it as an argument

ORDER = "902-0000001-0000001"
FIXED = "somebody@example.com"
ACCOUNTS = ("account acme-na", "account acme-eu", "account acme-fe")


def test_every_part_is_ok_when_the_installation_is_sound(installation: Installation) -> None:
    findings = installation.check()
    assert [str(finding) for finding in findings if finding.state != "OK"] == []
    assert [finding.subject for finding in findings] == [
        "stores.yaml",
        "orders_db",
        "orders_db_ui",
        "ORDERS_PII_KEYS",
        *[subject for name in ACCOUNTS for subject in (f"{name}, Amazon's clock", name)],
        f"shop {SHOP}, the shop's clock",
        f"shop {SHOP}",
        "store Acme US",
        "store Acme Deutschland",
        "store Acme UK",
        "store Acme Japan",
    ]
    words = {finding.subject: finding.words for finding in findings}
    assert "PostgreSQL 18" in words["orders_db"]
    assert f"role orders_rw, tables of version {newest_version()}" in words["orders_db"]
    assert words["store Acme Deutschland"] == "store view de, base currency EUR, stock 2"


def test_amazon_and_the_shop_are_unchanged_when_they_are_checked(installation: Installation) -> None:
    road = installation.road
    road.buy(ORDER, {"TRAY-WALNUT": 1})
    road.pass_time(minutes=10)
    road.orders_run()
    before = everything(road)
    installation.check()
    assert everything(road) == before
    assert road.sandbox.amazon_faults.calls["confirmShipment"] == 0


def everything(road: Road) -> list[Any]:
    """Amazon's orders, the whole shop, and every table but the records of requests."""
    tables = {name: rows for name, rows in road.dump().items() if name not in ("ops.api_calls", "ops.rate_limits")}
    return [road.sandbox.amazon.snapshot()["records"], road.sandbox.commerce.snapshot(), tables]


def test_no_secret_and_no_person_is_shown_when_there_is_a_problem(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    road, seeds = installation.road, installation.road.scenario
    road.buy(ORDER, {"TRAY-WALNUT": 1})
    road.pass_time(minutes=10)
    road.orders_run()
    road.change_store("Acme US", customer=FixedCustomer(FIXED))
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    with pytest.raises(MisconfiguredError):
        check_setup.run(installation, clock=road.now)
    contact = road.cipher.decrypt(bytes(road.value("select contact_encrypted from pii.order_contacts")))
    people = [contact["buyer"]["buyerName"], contact["recipient"]["deliveryAddress"]["addressLine1"], FIXED]
    secrets = [seeds.commerce.consumer_secret, seeds.commerce.access_token, seeds.commerce.access_token_secret]
    secrets += [a.client_secret for a in seeds.applications] + [a.refresh_token for a in seeds.applications]
    assert [planted for planted in people + secrets if planted in caplog.text] == []


# stores.yaml


def test_stores_file_is_named_with_every_mistake_when_it_is_wrong(installation: Installation, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("accounts:\n  - name: Acme\n    sellerid: A1EXAMPLESELLER\n", encoding="utf-8")
    installation.open_stores = lambda: load_stores(path)
    findings = installation.check()
    lines = [finding.words for finding in findings if finding.subject == "stores.yaml"]
    assert len(lines) > 2
    assert all(line.startswith(f"{path}:") for line in lines)
    assert [finding.subject for finding in findings][-1] == "ORDERS_PII_KEYS", "without accounts, nobody is asked"


def test_unknown_store_view_is_found_when_no_order_has_arrived_yet(installation: Installation) -> None:
    change_stores(installation.road, "Acme UK", commerce_store_view="united_kingdom")
    line = the_problem(installation)
    assert line.startswith(
        "PROBLEM      store Acme UK: the shop behind commerce_api has no store view 'united_kingdom'"
    )
    assert "use one of ca, de, default, jp, uk in stores.yaml" in line


def test_unknown_store_view_is_found_when_only_amazon_fulfilled_orders_go_there(installation: Installation) -> None:
    installation.road.change_store("Acme UK", amazon_fulfilled_store_view="nowhere")
    assert "store Acme UK: the shop behind commerce_api has no store view 'nowhere'" in the_problem(installation)


def test_currency_is_found_when_the_store_view_has_another(installation: Installation) -> None:
    change_stores(installation.road, "Acme UK", commerce_store_view="default")
    line = the_problem(installation)
    assert "store Acme UK: its orders are in GBP, but the base currency of the store view default is USD" in line
    assert "currency_mismatch" in line


@pytest.mark.parametrize("is_there", [True, False])
def test_fixed_customer_is_found_when_the_website_has_none(installation: Installation, is_there: bool) -> None:
    road = installation.road
    road.change_store("Acme US", customer=FixedCustomer(FIXED))
    if is_there:
        website = next(v.website_id for v in road.scenario.commerce.store_views if v.code == "default")
        road.sandbox.commerce.add_customer(email=FIXED, website_id=website)
        assert installation.problems() == []
    else:
        line = the_problem(installation)
        assert line.startswith("PROBLEM      store Acme US: the website ")
        assert FIXED not in line


def test_shop_is_not_asked_when_import_is_disabled_for_all_of_its_stores(installation: Installation) -> None:
    road = installation.road
    for store in road.stores.all():
        road.change_store(store.name, is_import_enabled=False)
    (last,) = installation.check()[-1:]
    assert (last.state, last.subject) == ("NOT CHECKED", f"shop {SHOP}")
    assert not road.sandbox.commerce_faults.calls


# Commerce


@pytest.mark.parametrize("right", NEEDED, ids=lambda right: right.resource)
def test_missing_right_is_named_when_it_was_taken_away(installation: Installation, right: Right) -> None:
    road = installation.road
    assert road.sandbox.commerce.rights is not None
    if right == LEGACY_STOCK:
        road.sandbox.commerce.seed = replace(road.sandbox.commerce.seed, has_stocks=False)
    road.change_store("Acme US", customer=FixedCustomer(FIXED))
    road.change_store("Acme UK", customer="new_account")
    road.sandbox.commerce.add_customer(email=FIXED, website_id=1)
    road.sandbox.commerce.rights.discard(right.resource)
    line = the_problem(installation)
    assert line.startswith(
        f"PROBLEM      shop {SHOP}: the integration lacks the right {right.place} ({right.resource})."
    )


@pytest.mark.parametrize("has_stocks", [True, False])
def test_right_on_the_legacy_stock_is_asked_for_when_the_shop_has_no_other(
    installation: Installation, has_stocks: bool
) -> None:
    shop = installation.road.sandbox.commerce
    shop.seed = replace(shop.seed, has_stocks=has_stocks)
    assert shop.rights is not None
    assert LEGACY_STOCK.resource not in shop.rights
    if not has_stocks:
        assert f"lacks the right {LEGACY_STOCK}." in the_problem(installation)
        shop.rights.add(LEGACY_STOCK.resource)
    assert installation.problems() == []
    (shop_finding,) = [finding for finding in installation.check() if finding.subject == f"shop {SHOP}"]
    assert shop_finding.words == f"credentials and all {12 if has_stocks else 13} rights"


def test_right_on_the_legacy_stock_is_not_asked_for_when_nobody_knows_whether_it_is_needed(
    installation: Installation,
) -> None:
    shop = installation.road.sandbox.commerce
    assert shop.rights is not None
    shop.rights.discard(SALES_STOCK.resource)
    assert f"lacks the right {SALES_STOCK}." in the_problem(installation)


def test_missing_right_is_named_when_the_shop_is_older(installation: Installation) -> None:
    shop = installation.road.sandbox.commerce
    shop.seed = replace(shop.seed, save_orders_right=CREATE_ORDERS.resource)
    assert shop.rights is not None
    shop.rights.discard(CREATE_ORDERS.resource)
    assert "(Magento_Sales::create)" in the_problem(installation)


def test_right_on_customers_is_not_asked_for_when_no_store_has_a_fixed_customer(installation: Installation) -> None:
    rights = installation.road.sandbox.commerce.rights
    assert rights is not None
    rights.discard(CUSTOMERS.resource)
    assert installation.problems() == []


def test_refused_credentials_are_one_problem_when_the_shop_refuses_all(installation: Installation) -> None:
    installation.road.sandbox.commerce_faults.add(Fault("*", "expired_token", times=100))
    line = the_problem(installation)
    assert line.startswith(f"PROBLEM      shop {SHOP}: all requests are refused")
    assert "check the credentials in the connection" in line


def test_shop_is_one_problem_when_it_is_down(installation: Installation) -> None:
    installation.road.sandbox.commerce_faults.add(Fault("*", "html_503", times=100))
    line = the_problem(installation)
    assert line.startswith(f"PROBLEM      shop {SHOP}: commerce storeViews: the server failed with 503.")
    assert "tried again" not in line


# Amazon


def test_account_alone_is_a_problem_when_its_token_is_refused(installation: Installation) -> None:
    road = installation.road
    na, eu, fe = road.scenario.applications
    road.scenario = replace(road.scenario, applications=(na, replace(eu, refresh_token="Atzr|revoked"), fe))
    line = the_problem(installation)
    assert line.startswith("PROBLEM      account acme-eu: amazon token for account acme-eu: refused (invalid_grant).")
    assert "Atzr" not in line


def test_marketplace_is_named_when_amazon_refuses_it(installation: Installation) -> None:
    change_stores(installation.road, "Acme Canada", marketplace_id="A1AM78C64UM0Y8")
    line = the_problem(installation)
    assert line.startswith("PROBLEM      account acme-na, marketplace A1AM78C64UM0Y8 (MX): amazon searchOrders")


def test_account_is_not_checked_when_amazon_throttles(installation: Installation) -> None:
    installation.road.sandbox.amazon_faults.add(Fault("searchOrders", "throttle", retry_after=90))
    (finding,) = [finding for finding in installation.check() if finding.state != "OK"]
    assert (finding.state, finding.subject) == ("NOT CHECKED", "account acme-na")
    assert "run the check again in 90 s" in finding.words


@pytest.mark.parametrize("seconds", [900, 59])
def test_clock_is_found_when_it_differs_from_the_others(
    installation: Installation, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    road = installation.road
    road.sandbox.clock.advance(timedelta(seconds=seconds))
    said = [f for f in installation.check() if "clock" in f.subject]
    assert {finding.state for finding in said} == {"OK"}, "the sandbox may have a clock of its own"
    monkeypatch.setattr("include.adapters.amazon.client.is_loopback", lambda host: False)
    monkeypatch.setattr("include.adapters.commerce.rest.is_loopback", lambda host: False)
    problems = installation.problems()
    if seconds < 60:
        assert problems == []
        return
    assert [finding.subject for finding in problems] == [
        *(f"{name}, Amazon's clock" for name in ACCOUNTS),
        f"shop {SHOP}, the shop's clock",
    ]
    assert "seconds behind. Resolution: synchronize it (NTP)" in problems[0].words


# The run


def test_run_fails_with_the_number_of_problems_when_there_are_any(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    change_stores(installation.road, "Acme UK", commerce_store_view="nowhere")
    with pytest.raises(MisconfiguredError, match=r"check_setup: 1 of 17 checks found a problem\. Resolution: "):
        check_setup.run(installation, clock=installation.road.now)
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "PROBLEM      store Acme UK" in error.getMessage()


def test_run_counts_when_nothing_is_wrong(installation: Installation) -> None:
    counts = check_setup.run(installation, clock=installation.road.now)
    assert counts == {"ok": 16, "problem": 0, "not_checked": 1}  # Airflow's pools


def test_nobody_is_asked_when_the_run_is_dry(installation: Installation) -> None:
    findings = installation.check(is_dry_run=True)
    assert [f.subject for f in findings if f.state == "NOT CHECKED"] == [*ACCOUNTS, f"shop {SHOP}"]
    assert not installation.road.sandbox.amazon_faults.calls
    assert not installation.road.sandbox.commerce_faults.calls
