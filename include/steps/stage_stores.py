"""Keeps core.stores in step with stores.yaml, and returns the accounts that the next steps are mapped over."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime

from sqlalchemy import Connection, Engine

from include.database.locks import wait_for_lock
from include.database.statements import load_statements
from include.domain.errors import MisconfiguredError
from include.domain.marketplaces import MARKETPLACES
from include.domain.stores import Store, Stores
from include.outbox.pipeline_state import move_selected

log = logging.getLogger(__name__)


def run(
    engine: Engine, stores: Stores, admin_urls: Mapping[str, str | None], *, now: datetime, dag_run_id: str
) -> list[str]:
    """Write the connected stores and return the account names, in the file's order.

    `admin_urls` maps each Commerce connection to the base address of its admin pages. `now` (UTC) becomes the
    `connected_at` of a store seen for the first time; it never changes afterwards. Without an `import_since`, a store
    imports what is bought after import was enabled. A store whose settings changed has its left-out orders checked
    again. Only writer of core.stores.
    """
    statements = load_statements(__file__)
    rows = []
    for account in stores.accounts:
        for store in account.stores:
            marketplace = MARKETPLACES[store.marketplace_id]
            rows.append(
                {
                    "store_name": store.name,
                    "account_name": account.name,
                    "seller_id": account.seller_id,
                    "amazon_connection": account.connection,
                    "region": account.region,
                    "marketplace_id": store.marketplace_id,
                    "commerce_connection": store.commerce_connection,
                    "commerce_store_view": store.commerce_store_view,
                    "currency_code": marketplace.currency_code,
                    "seller_central_host": marketplace.seller_central_host,
                    "commerce_admin_url": admin_urls.get(store.commerce_connection),
                    "is_import_enabled": store.orders.is_import_enabled,
                    "is_amazon_fulfilled_imported": store.orders.are_amazon_fulfilled_imported,
                    "import_since": store.orders.import_since,
                    "settings_sha256": _settings_sha256(store),
                    "now": now,
                }
            )
    keys = {"now": now, "dag_run_id": dag_run_id}
    settings = {
        f"{name}s": [row[name] for row in rows] for name in ("account_name", "marketplace_id", "settings_sha256")
    }
    with engine.begin() as connection:
        wait_for_lock(connection, "stage_stores")
        _refuse_renamed_accounts(connection, stores)
        # Before the stores are written: afterwards nobody knows which of them changed.
        if connection.execute(statements["changed_stores"], settings).first() is not None:
            move_selected(connection, statements["orders_to_check_again"], settings, now=now, dag_run_id=dag_run_id)
        connection.execute(statements["free_names"], rows)
        connection.execute(statements["upsert_stores"], rows)
        connection.execute(statements["set_import_since"], rows)
        move_selected(connection, statements["orders_to_adopt"], {}, now=now, dag_run_id=dag_run_id)
        connection.execute(statements["adopt_orders"], keys)
        connection.execute(statements["disconnect_others"], {"store_names": [row["store_name"] for row in rows]})
    log.info("stage_stores: accounts=%d stores=%d", len(stores.accounts), len(rows))
    return [account.name for account in stores.accounts]


def _settings_sha256(store: Store) -> str:
    """Of what decides whether an order is imported; blocked orders are checked by the SKU map in every run anyway."""
    deciding = asdict(replace(store, sku_map={}))
    del deciding["carriers"]
    return hashlib.sha256(repr(deciding).encode()).hexdigest()


def _refuse_renamed_accounts(connection: Connection, stores: Stores) -> None:
    """Windows, orders and outbox rows are kept under the account's name: it stays."""
    for known in connection.execute(load_statements(__file__)["accounts"]):
        for account in stores.accounts:
            is_same_seller = (account.seller_id, account.region) == (known.seller_id, known.region)
            if is_same_seller and account.name != known.account_name:
                raise MisconfiguredError(
                    f"Account {account.name} (seller {account.seller_id}, region {account.region}) was called "
                    f"{known.account_name} before, and its orders are kept under that name. "
                    f"Resolution: name it {known.account_name} again in the stores file."
                )
