"""Lands one page of Amazon's order listing: documents without personal data in raw, the personal part in pii.

Only writer of raw.amazon_orders and pii.order_contacts.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import simplejson
from sqlalchemy import Connection

from include.adapters.amazon.client import OrdersPage
from include.adapters.amazon.contacts import merge_contact, read_contact, with_corrections
from include.adapters.amazon.contract import contract_sha256, readable_order_id
from include.adapters.amazon.schema_drift import count_drift
from include.adapters.amazon.split import LandedOrder, split_order
from include.adapters.canonical_json import sha256_of
from include.adapters.personal_data import PersonalDataCipher
from include.database.statements import load_statements
from include.domain.contacts import Contact
from include.domain.errors import MalformedOrderError, UndecryptableError

log = logging.getLogger(__name__)

UNDECRYPTABLE = "pii.order_contacts: cannot be decrypted"


@dataclass(frozen=True)
class PageKeys:
    """Where the page belongs: its place in the listing, the account and the run."""

    ingest_window_id: int
    page_number: int
    account_name: str
    dag_run_id: str


@dataclass(frozen=True)
class LandedPage:
    """What a page brought: new versions, quarantined documents, and the contacts that are new or have changed."""

    new_versions: int
    quarantined: int
    contacts: Mapping[str, Contact] = field(repr=False)


def land_page(connection: Connection, page: OrdersPage, keys: PageKeys, cipher: PersonalDataCipher) -> LandedPage:
    """Land the page's orders in the caller's transaction.

    A document that breaks the contract is quarantined. A stored contact that cannot be decrypted stays as it is.
    """
    orders: dict[str, LandedOrder] = {}
    broken: list[tuple[Any, list[str]]] = []
    owners = _owners(connection, page)
    for document in page.orders:
        try:
            order = split_order(document)
            owner = owners.get(order.amazon_order_id, keys.account_name)
            if owner != keys.account_name:
                raise MalformedOrderError("", [f"orderId: belongs to account {owner} already"])
            same = orders.get(order.amazon_order_id)
            if same is None or same.last_updated_at <= order.last_updated_at:
                orders[order.amazon_order_id] = order
        except MalformedOrderError as error:
            broken.append((document, error.findings))
    contacts, undecryptable = _land_contacts(connection, orders, cipher)
    new_versions = _land_orders(connection, orders, undecryptable, page, keys)
    for document, findings in broken:
        if _quarantine(connection, document, findings, page, keys, cipher):
            new = [(readable_order_id(document), findings)]
            count_drift(connection, new, now=page.fetched_at, dag_run_id=keys.dag_run_id)
    return LandedPage(new_versions, len(broken), with_corrections(connection, cipher, contacts))


def _owners(connection: Connection, page: OrdersPage) -> dict[str, str]:
    ids = [readable for document in page.orders if (readable := readable_order_id(document)) is not None]
    rows = connection.execute(load_statements(__file__)["owners"], {"order_ids": ids}).all()
    return {row.amazon_order_id: row.account_name for row in rows}


def _land_orders(
    connection: Connection,
    orders: Mapping[str, LandedOrder],
    undecryptable: Collection[str],
    page: OrdersPage,
    keys: PageKeys,
) -> int:
    """Insert the versions that are new and return how many; release older quarantined documents of the same orders."""
    statements = load_statements(__file__)
    if not orders:
        return 0
    findings = [o.findings + [UNDECRYPTABLE] * (o.amazon_order_id in undecryptable) for o in orders.values()]
    inserted = connection.execute(
        statements["insert_orders"],
        {
            "amazon_order_ids": [order.amazon_order_id for order in orders.values()],
            "last_updated_ats": [order.last_updated_at for order in orders.values()],
            "payload_sha256s": [order.payload_sha256 for order in orders.values()],
            "payloads": [simplejson.dumps(order.payload, use_decimal=True) for order in orders.values()],
            "findings": [simplejson.dumps(found) for found in findings],
            "account_name": keys.account_name,
            "fetched_at": page.fetched_at,
            "dag_run_id": keys.dag_run_id,
            "ingest_window_id": keys.ingest_window_id,
            "page_number": keys.page_number,
        },
    )
    connection.execute(statements["release_quarantined"], {"order_ids": list(orders)})
    new = [(order_id, orders[order_id].findings) for order_id in inserted.scalars()]
    count_drift(connection, new, now=page.fetched_at, dag_run_id=keys.dag_run_id)
    return len(new)


def _land_contacts(
    connection: Connection, orders: Mapping[str, LandedOrder], cipher: PersonalDataCipher
) -> tuple[dict[str, Contact], Collection[str]]:
    """Merge each order's personal part into its row: newer fields win, fields that Amazon withholds later are kept.

    Returns the contacts that changed, and the orders whose stored contact cannot be decrypted: it is left untouched, a
    key may come back.
    """
    statements = load_statements(__file__)
    rows = connection.execute(statements["contacts"], {"order_ids": list(orders)}).all()
    known = {row.amazon_order_id: row for row in rows}
    changed = []
    contacts: dict[str, Contact] = {}
    undecryptable = set()
    for order in sorted(orders.values(), key=lambda o: o.amazon_order_id):
        old = known.get(order.amazon_order_id)
        contact, last_updated_at = order.contact, order.last_updated_at
        if old is not None:
            try:
                before = cipher.decrypt(bytes(old.contact_encrypted))
            except UndecryptableError as error:
                log.warning("order=%s keeps its stored contact: %s", order.amazon_order_id, error)
                undecryptable.add(order.amazon_order_id)
                continue
            if old.last_updated_at > order.last_updated_at:
                contact, last_updated_at = merge_contact(order.contact, before), old.last_updated_at
            else:
                contact = merge_contact(before, order.contact)
            if contact == before:
                continue
        elif not contact:
            continue
        contacts[order.amazon_order_id] = read_contact(contact)
        changed.append(
            {
                "amazon_order_id": order.amazon_order_id,
                "contact_encrypted": cipher.encrypt(contact),
                "last_updated_at": last_updated_at,
            }
        )
    if changed:
        connection.execute(statements["upsert_contact"], changed)
    return contacts, undecryptable


def _quarantine(
    connection: Connection,
    document: Any,
    findings: list[str],
    page: OrdersPage,
    keys: PageKeys,
    cipher: PersonalDataCipher,
) -> bool:
    """Keep a document that we cannot read, whole and encrypted, so that the page goes on and nothing is lost.

    Returns whether it is seen for the first time.
    """
    statements = load_statements(__file__)
    sha256 = sha256_of(document)
    readable = readable_order_id(document)
    connection.execute(
        statements["quarantine_payload"],
        {"payload_sha256": sha256, "payload_encrypted": cipher.encrypt({"document": document})},
    )
    seen_count = connection.execute(
        statements["quarantine_order"],
        {
            "payload_sha256": sha256,
            "account_name": keys.account_name,
            "amazon_order_id": readable,
            "findings": findings,
            "remedy": "Check the order in Seller Central. When Amazon sends it in a sound form, it goes on by itself; "
            "if Amazon's format changed, update this project.",
            "contract_sha256": contract_sha256(),
            "fetched_at": page.fetched_at,
            "dag_run_id": keys.dag_run_id,
        },
    ).scalar_one()
    log.warning(
        "extract_amazon_orders: account=%s order=%s quarantined: %s",
        keys.account_name,
        readable or "unreadable",
        "; ".join(findings),
    )
    return bool(seen_count == 1)
