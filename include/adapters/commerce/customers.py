"""Whose Commerce orders are: nobody's (guest orders), a fixed customer's, or those of an account of the buyer's.

Accounts are made by saving a customer (PUT /V1/customers/0), which sends no mail; POST /V1/customers sends one for each
(magento2, `Customer/etc/webapi.xml`, `Customer/Model/AccountManagement.php`, read 2026-11). The shop keeps e-mail and
website unique, so a second account cannot come of a lost answer, a kill or two workers: it is refused, and then found.
"""

from __future__ import annotations

from include.adapters.commerce.address import AddressPlaceholders, buyer_name, given_email
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import StoreView
from include.domain.contacts import Contact
from include.domain.errors import MisconfiguredError, OutcomeUnknownError, RefusedError
from include.domain.stores import FixedCustomer, Store

_IS_TAKEN = "A customer with the same email address"


def customer_of(
    client: CommerceClient,
    store: Store,
    view: StoreView,
    contact: Contact,
    placeholders: AddressPlaceholders,
    *,
    amazon_order_id: str,
    is_dry_run: bool,
) -> int | None:
    """The id of the customer whose order it becomes; None for a guest. An account is made unless `is_dry_run`.

    A buyer whose e-mail address Amazon withholds is a guest. Raises MisconfiguredError when the fixed customer is
    missing, RefusedError when the shop makes no account.
    """
    customer = store.orders.customer
    if isinstance(customer, FixedCustomer):
        found = client.customer_id(customer.email, view.website_id)
        if found is None:
            raise MisconfiguredError(
                f"Store {store.name}: the shop has no customer with the address given under customer: fixed. "
                "Resolution: create the customer in the store's website, or correct stores.yaml."
            )
        return found
    email = given_email(contact) if customer == "new_account" else None
    if email is None:
        return None
    found = client.customer_id(email, view.website_id)
    if found is not None or is_dry_run:
        return found
    name = buyer_name(contact, placeholders)
    account = {
        "email": email,
        "firstname": name.first,
        "lastname": name.last,
        "website_id": view.website_id,
        "store_id": view.store_id,
    }
    try:
        return client.create_customer(account, subject=amazon_order_id, personal=list(contact.texts()))
    except OutcomeUnknownError:
        found = client.customer_id(email, view.website_id)
        if found is None:  # the order stays as it is; the next attempt looks first
            raise
    except RefusedError as error:
        found = None
        if _IS_TAKEN in (error.reason or ""):
            # Another worker was quicker; or all websites of the shop share their accounts.
            found = client.customer_id(email, view.website_id) or client.customer_id(email)
        if found is None:
            reason = f"it makes no account of the buyer ({error.reason})"
            raise RefusedError(f"Commerce: {reason}.", code=error.code, reason=reason, cause=error.cause) from error
    return found
