"""Decrypts the buyers' names of the orders on one page; nothing of them is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from include.adapters.personal_data import PersonalDataCipher
from include.domain.errors import MisconfiguredError


def read_buyer_names(tokens: Mapping[str, bytes], pii_keys: Sequence[str]) -> tuple[dict[str, str], str]:
    """The names by Amazon order id, and a notice if some cannot be read. `tokens` are encrypted contacts."""
    if not tokens:
        return {}, ""
    try:
        cipher = PersonalDataCipher(pii_keys)
    except MisconfiguredError:
        return {}, "Buyers' names cannot be shown: ORDERS_PII_KEYS is missing or invalid on Airflow's API server."
    names: dict[str, str] = {}
    unreadable = 0
    for amazon_order_id, token in tokens.items():
        try:
            name = buyer_name(cipher.decrypt(token))
        except MisconfiguredError:
            unreadable += 1
        else:
            # Amazon can send lone surrogates, which no answer can carry.
            names[amazon_order_id] = name.encode("utf-8", "replace").decode("utf-8")
    if not unreadable:
        return names, ""
    return names, (
        f"The buyers' names of {unreadable} {'order' if unreadable == 1 else 'orders'} on this page cannot be "
        "decrypted: a key is missing from ORDERS_PII_KEYS on Airflow's API server."
    )


def buyer_name(contact: Mapping[str, Any]) -> str:
    """The buyer's name of a decrypted contact, else the recipient's, else empty (Amazon withholds it for FBA)."""

    def mapping(value: object) -> dict[str, Any]:
        return value if isinstance(value, dict) else {}

    buyer = mapping(contact.get("buyer"))
    address = mapping(mapping(contact.get("recipient")).get("deliveryAddress"))
    for name in (buyer.get("buyerName"), address.get("name")):
        if isinstance(name, str) and name.strip():
            return name.strip()
    return ""
