"""Amazon's personal part of an order, as `split_order` files it: merged version by version, read into our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Text, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from include.adapters.amazon.contract import Node, contract
from include.adapters.personal_data import PersonalDataCipher
from include.database.tables import order_contacts, order_corrections
from include.domain.contacts import Buyer, Contact, Recipient
from include.domain.errors import UndecryptableError


def load_contact(
    connection: Connection, cipher: PersonalDataCipher, amazon_order_id: str
) -> tuple[Contact, datetime | None]:
    """The stored contact of an order, with what a person has corrected, and when it was stored (its version).

    Empty and without a version while none is stored. Raises UndecryptableError when no key opens it.
    """
    stored = connection.execute(
        select(order_contacts).where(order_contacts.c.amazon_order_id == amazon_order_id)
    ).one_or_none()
    corrected = connection.execute(
        select(order_corrections.c.address_encrypted).where(order_corrections.c.amazon_order_id == amazon_order_id)
    ).scalar_one_or_none()
    contact = read_contact(cipher.decrypt(bytes(stored.contact_encrypted))) if stored is not None else Contact()
    if corrected is not None:
        contact = contact.corrected(cipher.decrypt(bytes(corrected)))
    return contact, stored.loaded_at if stored is not None else None


def with_corrections(
    connection: Connection, cipher: PersonalDataCipher, contacts: Mapping[str, Contact]
) -> dict[str, Contact]:
    """The contacts, by Amazon order id, with what people have corrected; without those that no key opens."""
    wanted = order_corrections.c.amazon_order_id == any_(literal(list(contacts), ARRAY(Text())))
    corrected = dict(contacts)
    for row in connection.execute(select(order_corrections).where(wanted)):
        contact = corrected.pop(row.amazon_order_id)
        with suppress(UndecryptableError):  # the creation of the order says so
            corrected[row.amazon_order_id] = contact.corrected(cipher.decrypt(bytes(row.address_encrypted)))
    return corrected


def read_contact(document: dict[str, Any]) -> Contact:
    """The contact of a decrypted document; what it lacks, or holds in another shape, is empty."""
    buyer = _part(document, "buyer")
    address = _part(document, "recipient", "deliveryAddress")
    messages = {
        amazon_item_id: _text(_part(item, "fulfillment", "packing", "giftOption"), "giftMessage")
        for amazon_item_id, item in _part(document, "orderItems").items()
    }
    return Contact(
        buyer=Buyer(
            name=_text(buyer, "buyerName"), email=_text(buyer, "buyerEmail"), company=_text(buyer, "buyerCompanyName")
        ),
        recipient=Recipient(
            name=_text(address, "name"),
            company=_text(address, "companyName"),
            address_lines=_address_lines(address),
            city=_text(address, "city"),
            municipality=_text(address, "municipality"),
            district=_text(address, "districtOrCounty"),
            region=_text(address, "stateOrRegion"),
            postal_code=_text(address, "postalCode"),
            country_code=_text(address, "countryCode"),
            phone=_text(address, "phone"),
        ),
        gift_messages={amazon_item_id: message for amazon_item_id, message in messages.items() if message},
        stored_texts=tuple(_texts(document)),
    )


def merge_contact(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The contact of an order of which `new` is the newer version: the newer wins field by field.

    What the newer lacks is kept: Amazon withholds phone and address some time after delivery. An address that
    contradicts the older one replaces it whole, so that no parcel goes to a mixture of two.
    """
    merged: dict[str, Any] = _merge(old, new, contract())
    return merged


def _part(document: Any, *path: str) -> dict[str, Any]:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    return value.strip() if isinstance(value, str) else ""


def _address_lines(address: dict[str, Any]) -> tuple[str, ...]:
    lines = [_text(address, name) for name in ("addressLine1", "addressLine2", "addressLine3")]
    if not any(lines):
        # Brazil: Amazon may give the street in parts only.
        parts = _part(address, "extendedFields")
        lines = [f"{_text(parts, 'streetName')} {_text(parts, 'streetNumber')}".strip()]
        lines += [_text(parts, name) for name in ("complement", "neighborhood")]
    return tuple(filter(None, lines))


def _texts(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for value in document.values():
            yield from _texts(value)
    elif isinstance(document, list):
        for value in document:
            yield from _texts(value)
    elif document is not None and not isinstance(document, bool):
        yield str(document)


def _merge(old: Any, new: Any, node: Node | None) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return old if _is_blank(new) else new
    node = node or {}
    if node.get("x-together") and _contradict(old, new):
        return new
    merged = dict(old)
    for name, part in new.items():
        child = node["items"] if "items" in node else node.get("properties", {}).get(name)
        merged[name] = _merge(old[name], part, child) if name in old else part
    return merged


def _contradict(old: Any, new: Any) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return any(_contradict(old[name], new[name]) for name in old.keys() & new.keys())
    return bool(not _is_blank(old) and not _is_blank(new) and old != new)


def _is_blank(value: Any) -> bool:
    return value is None or value in ("", [], {})
