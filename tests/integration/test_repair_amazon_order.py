"""What a person decides about one order: attempted again, corrected, left out, taken back; recorded, and once."""

from __future__ import annotations

from typing import Any

import pytest

from include.database.locks import autocommit, try_lock
from include.domain.errors import MisconfiguredError, UnavailableError
from include.steps import repair_amazon_order
from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.faults import Fault
from tests.support.foreign_order import a_commerce_order_like
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER, OTHER = order_id(1), order_id(2)
TRAY, UNKNOWN = "TRAY-WALNUT", "NOT-IN-THE-CATALOG"


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def repair(road: Road, action: str, *, is_dry_run: bool = False, run_id: str = "", **params: Any) -> dict[str, str]:
    road.run_number += 1
    wanted = {"amazon_order_id": ORDER, "action": action, "comment": "Agreed with the warehouse.", **params}
    return repair_amazon_order.run(
        road.engine,
        road.cipher,
        repair_amazon_order.read_repair(wanted),
        is_dry_run=is_dry_run,
        repaired_by="olga",
        now=road.now(),
        dag_run_id=run_id or road.run_id,
    )


def in_shop(road: Road, order: str = ORDER) -> list[Any]:
    return list(road.sandbox.commerce.order_by_ext_id(order))


def test_order_is_created_when_a_refused_one_is_retried(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise CommerceRefusal(400, "The requested Payment Method is not available.")

    road.change_settings(refused_attempts=1)
    road.buy(ORDER, {TRAY: 1})
    with monkeypatch.context() as patched:
        patched.setattr(road.sandbox.commerce, "create_order", refuse)
        road.next_run()
    road.next_run()
    assert road.shown(ORDER).blocker_codes == ["rejected_by_commerce"], "its only try is used up"
    assert repair(road, "retry")["outcome"] == "Tried again by olga; the next run checks the order."
    road.next_run()
    assert len(in_shop(road)) == 1
    assert not road.shown(ORDER).is_blocked
    (kept,) = road.rows("select * from ops.order_repairs")
    assert (kept.amazon_order_id, kept.action, kept.repaired_by) == (ORDER, "retry", "olga")
    assert kept.comment == "Agreed with the warehouse."


def test_order_is_created_when_one_that_needs_attention_is_retried(road: Road) -> None:
    road.change_settings(failed_attempts=1)
    road.sandbox.commerce_faults.add(Fault("searchOrders", "html_500", about=ORDER))
    road.buy(ORDER, {TRAY: 1})
    for _ in range(3):
        road.run_as_airflow()
    assert road.shown(ORDER).blocker_codes == ["needs_attention"]
    repair(road, "retry")
    road.run_as_airflow()
    assert len(in_shop(road)) == 1
    assert not road.shown(ORDER).is_blocked


def test_corrected_sku_is_ordered_when_only_this_order_has_it(road: Road) -> None:
    road.buy(ORDER, {UNKNOWN: 2})
    road.buy(OTHER, {UNKNOWN: 1})
    road.next_run()
    assert road.shown(ORDER).blocker_codes == ["missing_product"]
    repair(road, "correct", sku_map={UNKNOWN: TRAY})
    road.next_run()
    (order,) = in_shop(road)
    assert [(item["sku"], int(item["qty_ordered"])) for item in order["items"]] == [(TRAY, 2)]
    assert not in_shop(road, OTHER)
    assert road.shown(OTHER).blocker_codes == ["missing_product"]


def test_line_is_matched_by_its_corrected_sku_when_a_person_entered_the_order_in_commerce(road: Road) -> None:
    road.buy(ORDER, {UNKNOWN: 2})
    road.next_run()
    a_commerce_order_like(road, ORDER)
    repair(road, "correct", sku_map={UNKNOWN: TRAY})
    road.next_run()
    assert road.value("select count(*) from core.order_items where commerce_item_id is not null") == 1
    assert road.rows("select blocker_code from ops.blocker_episodes where closed_at is null") == []


def test_corrected_sku_stays_when_amazon_sends_a_newer_version(road: Road) -> None:
    road.buy(ORDER, {UNKNOWN: 1}, status="PENDING", has_money=False)
    road.next_run()
    assert repair(road, "correct", sku_map={UNKNOWN: TRAY})["outcome"].startswith("Corrected; it counts when")
    road.sandbox.amazon.apply(ORDER, {"programs": ["PRIME"]})
    road.next_run()
    assert road.value("select sku_map from core.orders") == {UNKNOWN: TRAY}


def test_corrected_address_is_sent_when_the_order_is_created(road: Road) -> None:
    road.buy(ORDER, {UNKNOWN: 1})
    road.next_run()
    address = {"name": "Ada Byron", "street": "12 Mill Lane\nFlat 3", "postcode": "90210", "phone": "+1 310 555 0100"}
    repair(road, "correct", address=address)
    repair(road, "correct", address={"phone": "+1 310 555 0199"}, sku_map={UNKNOWN: TRAY})
    road.next_run()
    (order,) = in_shop(road)
    sent = order["extension_attributes"]["shipping_assignments"][0]["shipping"]["address"]
    assert (sent["firstname"], sent["lastname"], sent["street"]) == ("Ada", "Byron", ["12 Mill Lane", "Flat 3"])
    assert (sent["postcode"], sent["telephone"]) == ("90210", "+1 310 555 0199")
    for table, rows in road.dump().items():
        if not table.startswith("pii."):
            assert "Mill Lane" not in repr(rows), table
    assert road.value("select address_fields from ops.order_repairs order by repaired_at limit 1") == sorted(address)
    token = bytes(road.value("select address_encrypted from pii.order_corrections"))
    assert road.cipher.decrypt(token) == address | {"phone": "+1 310 555 0199"}


def test_order_is_never_created_when_it_is_skipped_until_it_is_released(road: Road) -> None:
    road.buy(ORDER, {UNKNOWN: 1})
    road.next_run()
    repair(road, "skip")
    road.sandbox.commerce.set_product(TRAY, status=1)
    road.change_store("Acme US", sku_map={UNKNOWN: TRAY})
    for _ in range(2):
        road.next_run()
    shown = road.shown(ORDER)
    assert not in_shop(road)
    assert (shown.status, shown.is_blocked, shown.pipeline_state) == ("Unshipped", False, "not_imported")
    assert shown.order_notes.startswith("Skipped by olga on ")
    repair(road, "release")
    road.next_run()
    assert len(in_shop(road)) == 1


def test_nothing_changes_when_the_same_run_repeats_its_repair(road: Road) -> None:
    road.buy(ORDER, {UNKNOWN: 1})
    road.next_run()
    first = repair(road, "skip", run_id="manual__1")
    repair(road, "release", run_id="manual__2")
    before = road.dump()
    assert repair(road, "skip", run_id="manual__1") == first
    assert road.dump() == before


@pytest.mark.parametrize("action", ["retry", "skip"])
def test_nothing_changes_when_the_run_is_dry(road: Road, action: str) -> None:
    road.buy(ORDER, {UNKNOWN: 1})
    road.next_run()
    before = road.dump()
    assert repair(road, action, is_dry_run=True)["outcome"].startswith("dry run, nothing was changed: ")
    assert road.dump() == before


@pytest.mark.parametrize("action", ["retry", "correct", "skip"])
def test_action_is_refused_when_the_commerce_order_exists(road: Road, action: str) -> None:
    road.buy(ORDER, {TRAY: 1})
    road.next_run()
    before = road.dump()
    more = {"sku_map": {TRAY: "OTHER"}} if action == "correct" else {}
    number = in_shop(road)[0]["increment_id"]
    with pytest.raises(MisconfiguredError, match=f"Order {ORDER} cannot take the action {action}: .*{number} exists"):
        repair(road, action, **more)
    assert road.dump() == before


@pytest.mark.parametrize("action", ["retry", "skip"])
def test_action_is_refused_when_the_order_is_in_doubt(road: Road, action: str) -> None:
    road.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply"))
    road.buy(ORDER, {TRAY: 1})
    road.run_as_airflow()
    with pytest.raises(MisconfiguredError, match="wait"):
        repair(road, action)


def test_action_is_refused_when_the_order_is_being_created(road: Road) -> None:
    road.buy(ORDER, {UNKNOWN: 1})
    road.next_run()
    with autocommit(road.engine) as session, try_lock(session, "order", ORDER) as got:
        assert got
        with pytest.raises(UnavailableError, match=f"Order {ORDER} is being sent"):
            repair(road, "skip")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"amazon_order_id": "902-0000000-0000009"}, "amazon_order_id names 902-0000000-0000009, which is not stored"),
        ({"amazon_order_id": None}, "amazon_order_id is empty"),
        ({"action": "redo"}, "action is 'redo'. Resolution: use one of retry, correct, skip, release"),
        ({"comment": " "}, "comment is empty"),
        ({"action": "correct"}, "action is correct, but nothing is to be corrected"),
        ({"sku_map": {"A": "B"}}, "sku_map does not go with the action retry"),
        ({"action": "correct", "address": {"zip": "1"}}, "address has the unknown fields zip"),
        ({"action": "correct", "address": {"country_code": "usa"}}, "address has a country_code that is no country"),
        ({"action": "correct", "address": {"city": 5}}, "address is no mapping of texts"),
        ({"action": "correct", "sku_map": {"A": TRAY}}, f"sku_map names A, which the order does not have. .*{UNKNOWN}"),
    ],
)
def test_param_is_named_when_it_is_wrong(road: Road, params: dict[str, Any], message: str) -> None:
    road.buy(ORDER, {UNKNOWN: 1})
    road.next_run()
    before = road.dump()
    with pytest.raises(MisconfiguredError, match=f"The param {message}"):
        repair(road, **{"action": "retry", **params})
    assert road.dump() == before


def test_comment_is_refused_when_it_quotes_the_buyer(road: Road) -> None:
    road.buy(ORDER, {UNKNOWN: 1})
    road.next_run()
    name = road.sandbox.amazon.order(ORDER)["buyer"]["buyerName"]
    with pytest.raises(MisconfiguredError, match="comment quotes the buyer") as caught:
        repair(road, "skip", comment=f"{name} phoned.")
    assert name not in str(caught.value)
