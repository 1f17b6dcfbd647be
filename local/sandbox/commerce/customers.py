"""Customers of the local Commerce: saving one (PUT), and making an account (POST), which sends a mail.

Rules: magento2, `Customer/Model/ResourceModel/{Customer,CustomerRepository}.php` and `AccountManagement.php`; fields:
definition customer-data-customer-interface of Adobe's OpenAPI document 2.4.9.
"""

from __future__ import annotations

import re
from typing import Any

from local.sandbox.commerce.errors import CommerceRefusal, required
from local.sandbox.commerce.state import CommerceState
from local.sandbox.seeds import StoreView

Document = dict[str, Any]


def save_customer(state: CommerceState, customer_id: int, given: Any, view: StoreView | None) -> Document:
    """Change the customer of this id, or make one for the id 0; no mail. Raises CommerceRefusal (400 or 404)."""
    if not isinstance(given, dict):
        raise required(["customer"])
    known = {int(one["id"]): one for one in state.customers()}
    if customer_id and customer_id not in known:
        parameters = {"fieldName": "customerId", "fieldValue": str(customer_id)}
        raise CommerceRefusal(404, "No such entity with %fieldName = %fieldValue", parameters)
    customer = known.get(customer_id, {}) | {name: value for name, value in given.items() if value is not None}
    missing = [name for name in ("firstname", "lastname") if not str(customer.get(name, "")).strip()]
    if missing:
        raise required(missing)
    email = str(customer.get("email", ""))
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]+", email):
        message = 'Invalid value of "%value" provided for the %fieldName field.'
        raise CommerceRefusal(400, message, {"fieldName": "email", "value": email})
    if "website_id" not in customer:
        raise CommerceRefusal(400, '"Associate to Website" is a required value.')
    for other in known.values():
        is_same_website = state.seed.shares_customers or other["website_id"] == customer["website_id"]
        if other["id"] != customer_id and other["email"].casefold() == email.casefold() and is_same_website:
            raise CommerceRefusal(
                400, "A customer with the same email address already exists in an associated website."
            )
    if customer_id:
        known[customer_id].update(customer)
        return known[customer_id]
    store_id = view.store_id if view else 0
    state.add_customer(**{"store_id": store_id} | {name: customer[name] for name in customer if name != "id"})
    return state.customers()[-1]


def create_account(state: CommerceState, given: Any, view: StoreView | None) -> Document:
    """Make an account and send its owner a mail."""
    customer = save_customer(state, 0, given, view)
    state.mails.append({"kind": "new account", "customer_id": customer["id"], "at": state.clock.now().isoformat()})
    return customer
