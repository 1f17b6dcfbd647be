"""Decrypts the buyers' names of the orders on one page; nothing of them is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from include.adapters.amazon.contacts import read_contact
from include.adapters.personal_data import PersonalDataCipher
from include.domain.contacts import buyer_name
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
            name = buyer_name(read_contact(cipher.decrypt(token)))
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
