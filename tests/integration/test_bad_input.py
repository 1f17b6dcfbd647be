"""Bad input: a clear error that names what to fix, nothing lost, and the next run after it catches up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from include.adapters.personal_data import PersonalDataCipher
from include.domain.errors import MisconfiguredError
from local.sandbox.seeds import AmazonOrderSeed
from tests.support.orders import MARKERS, SELLER_US, amazon_order, order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

CHECKOUT = Path(__file__).parents[2]
ORDER = order_id(1)
TRAY = {"TRAY-WALNUT": 1}


def created(road: Road) -> list[str]:
    return sorted(order["ext_order_id"] for order in road.sandbox.commerce.orders())


def landed(road: Road) -> tuple[int, int]:
    """Orders that landed, and live windows whose end is the watermark."""
    return (
        road.value("select count(*) from raw.amazon_orders"),
        road.value("select count(*) from ops.ingest_windows where state = 'landed' and kind = 'live'"),
    )


# Credentials


@pytest.mark.parametrize("part", ["client_id", "client_secret", "refresh_token"])
def test_no_order_is_lost_when_the_credentials_for_amazon_are_wrong(road: Road, part: str) -> None:
    sound = road.scenario
    secret: dict[str, Any] = {part: "planted-secret"}
    wrong = replace(sound.applications[0], **secret)
    road.scenario = replace(sound, applications=(wrong, *sound.applications[1:]))
    road.buy(ORDER, TRAY)
    with pytest.raises(MisconfiguredError, match=rf"Resolution: .*{part}.*connection amazon_sp_api") as caught:
        road.next_run()
    assert "planted-secret" not in str(caught.value)
    assert landed(road) == (0, 0)
    road.scenario = sound
    road.next_run()
    assert created(road) == [ORDER]


def test_other_accounts_go_on_when_one_has_wrong_credentials(road: Road) -> None:
    wrong = replace(road.scenario.applications[0], client_secret="planted-secret")
    road.scenario = replace(road.scenario, applications=(wrong, *road.scenario.applications[1:]))
    uk = {"marketplace_id": "A1F83G8C2ARO7P", "currency": "GBP", "seller_id": "A2EXAMPLESELLER"}
    road.buy(ORDER, TRAY, **uk)
    road.pass_time(minutes=10)
    road.stage_stores()
    with pytest.raises(MisconfiguredError):
        road.extract_amazon_orders("acme-na")
    road.extract_amazon_orders("acme-eu")
    road.stage_amazon_orders()
    assert road.validate_orders() == ["acme-eu"]
    road.create_commerce_orders("acme-eu")
    assert created(road) == [ORDER]


@pytest.mark.parametrize("part", ["consumer_secret", "access_token", "access_token_secret"])
def test_orders_show_the_cause_when_the_credentials_for_commerce_are_wrong(road: Road, part: str) -> None:
    sound = road.scenario
    secret: dict[str, Any] = {part: "planted-secret"}
    road.scenario = replace(sound, commerce=replace(sound.commerce, **secret))
    road.buy(ORDER, TRAY)
    with pytest.raises(MisconfiguredError, match=r"Resolution: .*commerce_api.*check the credentials") as caught:
        road.next_run()
    assert "planted-secret" not in str(caught.value)
    road.publish_recent_orders()
    shown = road.shown(ORDER)
    assert (shown.status, shown.blocker_codes) == ("Error", ["store_misconfigured"])
    assert "if it has, check the credentials" in shown.order_notes
    assert "planted-secret" not in shown.order_notes
    road.scenario = sound
    road.next_run()
    assert created(road) == [ORDER]


# Orders that break the contract


def without(path: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["orderItems"][0].pop(path)


def item_with(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["orderItems"][0].update(values)


def total_of(amount: Any, currency: Any = "USD") -> Callable[[dict[str, Any]], None]:
    return lambda document: document["proceeds"].update(grandTotal={"amount": amount, "currencyCode": currency})


def title_of(text: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["orderItems"][0]["product"].update(title=text)


def twice(document: dict[str, Any]) -> None:
    document["orderItems"] *= 2


MALFORMED: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (without("quantityOrdered"), "orderItems[0].quantityOrdered: required"),
    (without("orderItemId"), "orderItems[0].orderItemId: required"),
    (item_with(quantityOrdered=-1), "orderItems[0].quantityOrdered: minimum"),
    (item_with(quantityOrdered="1"), "orderItems[0].quantityOrdered: type"),
    (item_with(orderItemId=MARKERS["recipient"] + "\x00"), "orderItems[0].orderItemId: pattern"),
    (item_with(product=MARKERS["recipient"]), "orderItems[0].product: type"),
    (total_of("1,5"), "proceeds.grandTotal.amount: pattern"),
    (total_of("12 " + MARKERS["phone"]), "proceeds.grandTotal.amount: pattern"),
    (total_of("1.00", "usd"), "proceeds.grandTotal.currencyCode: pattern"),
    (title_of("a\x00b"), "orderItems[].product.title: characters or digits"),
    (twice, "orderItems[].orderItemId: unique"),
    (lambda document: document.update(orderItems=[]), "orderItems: minItems"),
    (lambda document: document.update(programs="PRIME"), "programs: type"),
    (lambda document: document.update(orderId="Marker Buyername\x00"), "orderId: pattern"),
]


def test_malformed_orders_are_set_aside_when_the_rest_goes_on(road: Road, caplog: pytest.LogCaptureFixture) -> None:
    documents = []
    for number, (spoil, _) in enumerate(MALFORMED, start=10):
        document = amazon_order(order_id(number), TRAY, at=road.sandbox.clock.now())
        spoil(document)
        documents.append(document)
        road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))
    for number in (1, 2):
        road.buy(order_id(number), TRAY)
    road.change_settings(orders_per_page=3)
    road.next_run()

    assert created(road) == [order_id(1), order_id(2)]
    assert landed(road) == (2, 3), "every account's watermark moved"
    found = road.rows("select * from ops.quarantined_orders join pii.quarantined_payloads using (payload_sha256)")
    by_id = {row.amazon_order_id: row for row in found}
    opened = []
    for document, (_, finding) in zip(documents, MALFORMED, strict=True):
        row = by_id[document["orderId"] if finding != "orderId: pattern" else None]
        assert row.findings == [finding]
        assert (row.account_name, row.seen_count, row.released_at) == ("acme-na", 1, None)
        assert "Seller Central" in row.remedy
        opened.append(road.cipher.decrypt(bytes(row.payload_encrypted))["document"])
    for document, copy in zip(documents, opened, strict=True):
        assert copy == json.loads(json.dumps(document), parse_float=Decimal)
    shown = road.rows("select * from reporting.quarantined_orders")
    assert len(shown) == len(found) == len(MALFORMED)
    said = caplog.text + repr([row._mapping for row in shown]) + repr([row.findings for row in found])
    assert not [marker for marker in MARKERS.values() if marker in said]


def test_order_is_created_when_it_is_malformed_first_and_sound_later(road: Road) -> None:
    document = amazon_order(ORDER, TRAY, at=road.sandbox.clock.now())
    sound_total = document["proceeds"]["grandTotal"]
    total_of("a lot")(document)
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))
    road.next_run()
    road.next_run()
    assert road.value("select seen_count from ops.quarantined_orders") == 2, "the windows overlap"
    assert created(road) == []
    road.sandbox.amazon.apply(ORDER, {"proceeds": {"grandTotal": sound_total}})
    road.next_run()
    assert created(road) == [ORDER]
    assert road.value("select released_at from ops.quarantined_orders") is not None
    assert road.rows("select * from reporting.quarantined_orders") == []


def test_sound_version_is_kept_when_a_newer_one_is_malformed(road: Road) -> None:
    road.buy(ORDER, TRAY)
    road.next_run()
    total = road.shown(ORDER).grand_total_amount
    road.sandbox.amazon.apply(ORDER, {"proceeds": {"grandTotal": {"amount": "a lot"}}})
    road.next_run()
    shown = road.shown(ORDER)
    assert (shown.grand_total_amount, shown.status) == (total, "Unshipped")
    assert shown.order_notes.startswith("Amazon sent a newer version that cannot be read")
    road.sandbox.amazon.apply(ORDER, {"proceeds": {"grandTotal": {"amount": str(total)}}})
    road.next_run()
    assert "cannot be read" not in road.shown(ORDER).order_notes
    assert created(road) == [ORDER]


# Keys of personal data


def test_order_waits_when_its_key_is_gone_at_creation(road: Road) -> None:
    sound = road.cipher
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    road.cipher = PersonalDataCipher([Fernet.generate_key().decode()])
    with pytest.raises(MisconfiguredError, match=r"ORDERS_PII_KEYS.*Resolution: put the missing key back"):
        road.create_commerce_orders()
    assert created(road) == []
    assert road.value("select state from ops.order_outbox") == "planned"
    road.cipher = sound
    road.next_run()
    assert created(road) == [ORDER]


def test_only_the_contact_stays_as_it_is_when_the_key_of_a_known_order_is_gone(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    road.cipher = PersonalDataCipher([old])
    road.buy(ORDER, TRAY)
    road.next_run()
    contact = road.value("select contact_encrypted from pii.order_contacts")
    road.cipher = PersonalDataCipher([new])
    road.sandbox.amazon.apply(ORDER, {"buyer": {"buyerName": "Another"}})
    road.buy(order_id(2), TRAY)
    road.next_run()
    assert created(road) == [ORDER, order_id(2)]
    versions = road.rows(
        "select contract_findings from raw.amazon_orders where amazon_order_id = :id order by last_updated_at", id=ORDER
    )
    assert versions[-1].contract_findings[-1] == "pii.order_contacts: cannot be decrypted"
    query = "select contact_encrypted from pii.order_contacts where amazon_order_id = :id"
    assert road.value(query, id=ORDER) == contact
    assert f"order={ORDER} keeps its stored contact" in caplog.text
    assert "put the missing key back" in caplog.text
    road.cipher = PersonalDataCipher([new, old])
    road.next_run()
    assert "Another" in repr(road.cipher.decrypt(bytes(road.value(query, id=ORDER)))), "the windows overlap"
