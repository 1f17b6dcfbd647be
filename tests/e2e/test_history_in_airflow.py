"""The DAGs for an account's past, in Airflow: a backfill beside live orders, and a replay that is dry by default."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.support.installation import Installation
from tests.support.orders import order_id, seed

ORDERS = "amazon_orders_to_commerce"
BACKFILL, REPLAY = "backfill_amazon_orders", "replay_amazon_orders"


def test_old_order_reaches_commerce_when_a_backfill_wants_it_there(installation: Installation) -> None:
    old, day = order_id(1), datetime.now(UTC) - timedelta(days=400)
    installation.sandbox.amazon.add_order(seed(old, {"TRAY-WALNUT": 1}, at=day))
    shop, calls = installation.sandbox.commerce, installation.sandbox.amazon_faults.calls
    stretch = {"account": "acme-na", "created_from": str(day - timedelta(days=1)), "created_to": str(day)}
    with installation.console() as dags_test:
        refused = dags_test(BACKFILL, account="acme-na", since="2026-01-01")
        assert refused.state == "failed"
        assert "The DAG backfill_amazon_orders has no param since. Nothing was done. Resolution: " in refused.output

        rehearsal = dags_test(BACKFILL, **stretch, dry_run=True)
        assert rehearsal.state == "success", rehearsal.output[-3000:]
        assert "dry run, nothing was changed: account=acme-na would be read" in rehearsal.output
        assert (rehearsal.task("stage_stores").state, calls["searchOrders"]) == ("skipped", 0)
        assert installation.rows("select * from core.stores") == [], "nothing is changed, by the refused run either"

        looked_at = dags_test(BACKFILL, **stretch)
        assert looked_at.state == "success", looked_at.output[-3000:]
        assert "100.0 % read, time left at this rate: 0:00:00" in looked_at.output
        assert [row.amazon_order_id for row in installation.rows("select * from core.orders")] == [old]
        assert dags_test(ORDERS).state == "success"
        assert shop.orders() == []

        wanted = dags_test(BACKFILL, account="acme-na", amazon_order_ids=[old], create_in_commerce=True)
        assert wanted.state == "success", wanted.output[-3000:]
        assert dags_test(ORDERS).state == "success"
        assert [order["ext_order_id"] for order in shop.orders()] == [old]

        replay = dags_test(REPLAY, account="acme-na")
        assert replay.state == "success", replay.output[-3000:]
        assert "dry run, core was not changed: orders=1 different=0 written=0" in replay.output
        assert dags_test(REPLAY, amazon_order_ids=[old], dry_run=False).state == "success"
