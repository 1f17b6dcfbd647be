"""Fetches one account's order listing from Amazon, window by window, and lands every page: raw and pii.

The watermark of an account is the end of its newest landed window; it moves only in the transaction that lands the
window's last page. A window that was interrupted goes on where it stopped, with the same frozen query.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import simplejson
from sqlalchemy import Connection, Engine, Row, bindparam
from sqlalchemy.dialects.postgresql import JSONB

from include.adapters.amazon.client import AmazonClient, OrdersPage
from include.adapters.amazon.contacts import merge_contact
from include.adapters.amazon.contract import readable_order_id
from include.adapters.amazon.requests import IMPORT_DATA, search_query
from include.adapters.amazon.split import LandedOrder, split_order, versions_sha256
from include.adapters.canonical_json import sha256_of
from include.adapters.personal_data import PersonalDataCipher
from include.database.locks import autocommit, try_lock
from include.database.statements import load_statements
from include.domain.errors import MalformedOrderError, RefusedError, ThrottledError, UnavailableError
from include.domain.stores import Account
from include.settings import Settings

log = logging.getLogger(__name__)

# Amazon's pagination tokens live 24 hours; an hour less leaves room for the answer.
_TOKEN_LIFE = timedelta(hours=23)


@dataclass(frozen=True)
class _Window:
    ingest_window_id: int
    query: dict[str, str]
    next_token: str | None
    page_count: int


def run(
    engine: Engine,
    client: AmazonClient,
    cipher: PersonalDataCipher,
    account: Account,
    settings: Settings,
    *,
    dag_run_id: str,
) -> dict[str, int]:
    """Land every page of the account's next window. Returns counts: pages, orders, new_versions, quarantined.

    Times come from Amazon's clock. Beside a second copy for the same account, one works and the other returns at once.
    Raises the typed errors of the client; what landed before stays landed.
    """
    statements = load_statements(__file__)
    counts = {"pages": 0, "orders": 0, "new_versions": 0, "quarantined": 0}
    with autocommit(engine) as session, try_lock(session, "extract_amazon_orders", account.name) as got:
        if not got:
            log.info("extract_amazon_orders: account=%s is being extracted by another run", account.name)
            return counts
        window = _open_window(engine, client, account, settings, dag_run_id)
        while window is not None:
            try:
                page = client.search_orders(window.query, window.next_token)
            except ThrottledError as error:
                if counts["pages"] == 0:
                    raise
                # A long listing takes more requests than Amazon allows at once; the window stays open for the next run.
                log.info("extract_amazon_orders: account=%s goes on with the next run: %s", account.name, error)
                break
            except RefusedError as error:
                if window.next_token is None:
                    raise
                _abandon(engine, window)
                raise UnavailableError(
                    f"Amazon refused to go on with account {account.name}'s order listing after page "
                    f"{window.page_count} ({error.code}). Resolution: none needed, the next try starts anew."
                ) from error
            page_sha256 = versions_sha256(page.orders)
            if page.orders and _is_repeated(engine, window, page_sha256):
                _abandon(engine, window)
                raise UnavailableError(
                    f"Amazon sent a page of account {account.name}'s order listing twice under two tokens "
                    f"(page {window.page_count + 1}). Resolution: none needed, the next try starts anew; "
                    "the watermark has not moved."
                )
            with engine.begin() as connection:
                _land(connection, page, page_sha256, window, account, cipher, dag_run_id, counts)
                if page.next_token is None:
                    break
                row = connection.execute(statements["window"], {"ingest_window_id": window.ingest_window_id}).one()
            window = _window(row)
    log.info("extract_amazon_orders: account=%s %s", account.name, " ".join(f"{k}={v}" for k, v in counts.items()))
    return counts


def _window(row: Row[Any]) -> _Window:
    return _Window(row.ingest_window_id, dict(row.query), row.next_token, row.page_count)


def _open_window(
    engine: Engine, client: AmazonClient, account: Account, settings: Settings, dag_run_id: str
) -> _Window | None:
    """Go on with the account's open window, or open the next one; None when it is too early for one."""
    statements = load_statements(__file__)
    now = client.server_time()
    with engine.begin() as connection:
        row = connection.execute(statements["open_window"], {"account_name": account.name}).one_or_none()
        if row is not None:
            # Without a page nothing is lost by asking anew, and with what stores.yaml says now.
            if row.next_token is not None and row.next_token_at > now - _TOKEN_LIFE:
                return _window(row)
            connection.execute(statements["abandon_window"], {"ingest_window_id": row.ingest_window_id})
        updated_to = now - settings.window_safety_margin
        updated_from, watermark = _lower_bound(connection, account, settings)
        if watermark is not None and updated_to - watermark < settings.window_minimum:
            return None
        query = search_query(
            [store.marketplace_id for store in account.stores],
            updated_from,
            updated_to,
            IMPORT_DATA,
            settings.orders_per_page,
        )
        opened = connection.execute(
            statements["insert_window"].bindparams(bindparam("query", type_=JSONB)),
            {
                "account_name": account.name,
                "updated_from": updated_from,
                "updated_to": updated_to,
                "query": query,
                "dag_run_id": dag_run_id,
            },
        ).one()
        return _window(opened)


def _lower_bound(connection: Connection, account: Account, settings: Settings) -> tuple[datetime, datetime | None]:
    """Where the next window begins, and the watermark that it goes on from (None: a marketplace was never asked for).

    Each marketplace has a watermark of its own, so that a store added later gets its history.
    """
    rows = connection.execute(
        load_statements(__file__)["watermarks"],
        {"account_name": account.name, "marketplace_ids": [store.marketplace_id for store in account.stores]},
    ).all()
    starts: list[datetime] = []
    marks: list[datetime | None] = []
    for row in rows:
        # An import_since that was set earlier than anything asked for yet asks for the orders since then.
        is_covered = row.watermark is not None and row.import_since >= row.covered_from
        marks.append(row.watermark if is_covered else None)
        if is_covered:
            starts.append(row.watermark - settings.window_overlap)
        else:
            starts.append(min(row.import_since, row.connected_at - settings.initial_lookback))
    known = [mark for mark in marks if mark is not None]
    return min(starts), min(known) if len(known) == len(marks) else None


def _is_repeated(engine: Engine, window: _Window, page_sha256: str) -> bool:
    with engine.connect() as connection:
        keys = {"ingest_window_id": window.ingest_window_id, "page_sha256": page_sha256}
        return bool(connection.execute(load_statements(__file__)["repeated_page"], keys).scalar_one())


def _abandon(engine: Engine, window: _Window) -> None:
    with engine.begin() as connection:
        connection.execute(load_statements(__file__)["abandon_window"], {"ingest_window_id": window.ingest_window_id})


def _land(
    connection: Connection,
    page: OrdersPage,
    page_sha256: str,
    window: _Window,
    account: Account,
    cipher: PersonalDataCipher,
    dag_run_id: str,
    counts: dict[str, int],
) -> None:
    """Land one page, and with the last one the window. One transaction: all of it or nothing."""
    statements = load_statements(__file__)
    orders: dict[str, LandedOrder] = {}
    broken: list[tuple[dict[str, Any], list[str]]] = []
    owners = _owners(connection, page)
    for document in page.orders:
        try:
            order = split_order(document)
            if owners.get(order.amazon_order_id, account.name) != account.name:
                raise MalformedOrderError("", [f"belongs to account {owners[order.amazon_order_id]} already"])
            same = orders.get(order.amazon_order_id)
            if same is None or same.last_updated_at <= order.last_updated_at:
                orders[order.amazon_order_id] = order
        except MalformedOrderError as error:
            broken.append((document, error.findings))
    keys = {"ingest_window_id": window.ingest_window_id, "page_number": window.page_count + 1}
    connection.execute(
        statements["insert_page"],
        keys | {"page_sha256": page_sha256, "orders_seen": len(page.orders), "request_id": page.request_id},
    )
    counts["new_versions"] += _land_orders(connection, orders, keys, page.fetched_at, account, dag_run_id)
    _land_contacts(connection, orders, cipher)
    for document, findings in broken:
        _quarantine(connection, document, findings, account, cipher, dag_run_id)
    connection.execute(
        statements["advance_window"],
        {
            "ingest_window_id": window.ingest_window_id,
            "next_token": page.next_token,
            "next_token_at": page.fetched_at,
            "orders_seen": len(page.orders),
            "orders_quarantined": len(broken),
            "updated_before": page.updated_before,
        },
    )
    counts["pages"] += 1
    counts["orders"] += len(page.orders)
    counts["quarantined"] += len(broken)


def _owners(connection: Connection, page: OrdersPage) -> dict[str, str]:
    ids = list(filter(None, map(readable_order_id, page.orders)))
    rows = connection.execute(load_statements(__file__)["owners"], {"order_ids": ids}).all()
    return {row.amazon_order_id: row.account_name for row in rows}


def _land_orders(
    connection: Connection,
    orders: Mapping[str, LandedOrder],
    keys: Mapping[str, int],
    fetched_at: datetime,
    account: Account,
    dag_run_id: str,
) -> int:
    """Insert the versions that are new and return how many; release older quarantined documents of the same orders."""
    statements = load_statements(__file__)
    if not orders:
        return 0
    inserted = connection.execute(
        statements["insert_orders"],
        {
            "amazon_order_ids": [order.amazon_order_id for order in orders.values()],
            "last_updated_ats": [order.last_updated_at for order in orders.values()],
            "payload_sha256s": [order.payload_sha256 for order in orders.values()],
            "payloads": [simplejson.dumps(order.payload, use_decimal=True) for order in orders.values()],
            "findings": [simplejson.dumps(order.findings) for order in orders.values()],
            "account_name": account.name,
            "fetched_at": fetched_at,
            "dag_run_id": dag_run_id,
            **keys,
        },
    )
    connection.execute(statements["release_quarantined"], {"order_ids": list(orders)})
    return inserted.rowcount


def _land_contacts(connection: Connection, orders: Mapping[str, LandedOrder], cipher: PersonalDataCipher) -> None:
    """Merge each order's personal part into its row: newer fields win, fields that Amazon withholds later are kept."""
    statements = load_statements(__file__)
    rows = connection.execute(statements["contacts"], {"order_ids": list(orders)}).all()
    known = {row.amazon_order_id: row for row in rows}
    changed = []
    for order in sorted(orders.values(), key=lambda o: o.amazon_order_id):
        old = known.get(order.amazon_order_id)
        contact, last_updated_at = order.contact, order.last_updated_at
        if old is not None:
            before = cipher.decrypt(bytes(old.contact_encrypted))
            if old.last_updated_at > order.last_updated_at:
                contact, last_updated_at = merge_contact(order.contact, before), old.last_updated_at
            else:
                contact = merge_contact(before, order.contact)
            if contact == before:
                continue
        elif not contact:
            continue
        changed.append(
            {
                "amazon_order_id": order.amazon_order_id,
                "contact_encrypted": cipher.encrypt(contact),
                "last_updated_at": last_updated_at,
            }
        )
    if changed:
        connection.execute(statements["upsert_contact"], changed)


def _quarantine(
    connection: Connection,
    document: Any,
    findings: list[str],
    account: Account,
    cipher: PersonalDataCipher,
    dag_run_id: str,
) -> None:
    """Keep a document that we cannot read, whole and encrypted, so that the page goes on and nothing is lost."""
    statements = load_statements(__file__)
    sha256 = sha256_of(document)
    readable = readable_order_id(document)
    connection.execute(
        statements["quarantine_payload"],
        {"payload_sha256": sha256, "payload_encrypted": cipher.encrypt({"document": document})},
    )
    connection.execute(
        statements["quarantine_order"],
        {
            "payload_sha256": sha256,
            "account_name": account.name,
            "amazon_order_id": readable,
            "findings": findings,
            "remedy": "Check the order in Seller Central. When Amazon sends it in a sound form, it goes on by itself; "
            "if Amazon's format changed, update this project.",
            "dag_run_id": dag_run_id,
        },
    )
    log.warning(
        "extract_amazon_orders: account=%s order=%s quarantined: %s",
        account.name,
        readable or "unreadable",
        "; ".join(findings),
    )
