"""The reasons for which Commerce refuses a request, as it words them, and what we keep of each: never its own text.

Sources, checked 2026-11: magento/magento2, `Sales/Plugin/Model/OrderRepositoryPlugin.php`,
`Sales/Model/Order/Address/Validator.php`, `Sales/Model/Order/{Invoice,Creditmemo}/*Validator.php`,
`Framework/Webapi/ServiceInputProcessor.php`, `Framework/Exception/*`, `Payment`, `Store`, `Oauth`; magento/inventory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# What {field} may be: the names that Commerce's API and its address forms give to what we send. Nothing else is shown.
_FIELDS = frozenset(
    name.strip()
    for line in """
    entity, items, item, sku, product_id, qty, qty_ordered, price, grand_total, base_grand_total, subtotal
    base_subtotal, increment_id, ext_order_id, store_id, status, state, comment, payment, method, po_number
    customer_id, customer_email, customer_firstname, customer_lastname, customer_group_id
    billing_address, shipping_address, shipping_assignments, shipping, address_type, parent_id, prefix, firstname
    middlename, lastname, suffix, company, street, city, region, region_id, regionid, region_code, postcode
    country_id, countryid, telephone, fax, email, vat_id, order_id, orderid, capture, notify, searchcriteria
    parent order id, address type, zip code, zip/postal code, first name, last name, country, state/province
    phone number, fax number
    """.splitlines()
    for name in line.split(",")
)

_FIELD = r'"?(?P<field>%?[\w/]+(?: [\w/]+){0,2})"?'
# Each is looked for in one line of Commerce's message, the first that is found counts. Loose on purpose: modules vary
# the words, and what is kept is ours in any case.
_CAUSES = [
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        # Creating an order.
        (r"payment method\b.*\b(?:not|isn't|is n't) (?:available|allowed|active|enabled)",
         "The requested Payment Method is not available. It is purchaseorder: enable it in the shop"),
        (r"please provide billing address", "Please provide billing address for the order"),
        (r"please specify order items", "Please specify order items"),
        (r"unique constraint|duplicate entry|duplicate key",
         "Unique constraint violation found: the number of the order is taken by another order"),
        (r"product\b.*(?:doesn't exist|does not exist|not found|(?:not|isn't|aren't) (?:available|salable|assigned))"
         r"|no such entity with sku",
         "A product is not available in the shop"),
        (r"out of stock|requested (?:qty|quantity)\b.*\bnot available|not all of your products are available",
         "A product is not available in the requested quantity"),
        (r"(?:shipping|carrier)\b.*\b(?:method|carrier)\b.*(?:not|isn't|aren't) (?:found|available)"
         r"|shipping method is missing",
         "The shipping method is not available in the shop"),
        (r"e-?mail\b.*(?:wrong format|not valid|invalid)|invalid e-?mail", "Email has a wrong format"),
        (r"address type doesn't match", "Address type doesn't match required options"),
        (rf"{_FIELD}(?: attribute)? is (?:a )?required", "{field} is required"),
        (rf"please enter (?:the|a|your) {_FIELD}\.?$", "{field} is required"),
        (rf"invalid value of .* provided for the {_FIELD} field", "An invalid value was given for {field}"),
        (r"country\b.*(?:not|isn't) (?:available|allowed)", "The country of an address is not allowed in the shop"),
        (r"can't save the address", "We can't save the address"),
        (r"value's type is invalid", "A value has a type that this version of Commerce does not expect"),
        (r"does not have accessor method", "A property is not known to this version of Commerce"),
        (r"store that was requested wasn't found", "The store that was requested wasn't found"),
        (r"^decoding error", "Decoding error"),
        (r"one or more input exceptions", "One or more input exceptions have occurred"),
        # Making an account.
        (r"customer with the same e-?mail", "A customer with the same email address already exists"),
        # Invoicing it.
        (r"^invoice document validation error", "Invoice Document Validation Error(s)"),
        (r"invoice cannot be created when an order has a status",
         "An invoice cannot be created when an order has its present status"),
        (r"order does not allow an invoice", "The order does not allow an invoice to be created"),
        (r"items that are not part of the original order",
         "The invoice contains one or more items that are not part of the original order"),
        (r"can't create an invoice without products", "You can't create an invoice without products"),
        (r"greater than the uninvoiced quantity",
         "The quantity to invoice must not be greater than the uninvoiced quantity"),
        (r"could not save an invoice", "Could not save an invoice, see error log for details"),
        # Crediting it.
        (r"^creditmemo document validation error", "Credit Memo Document Validation Error(s)"),
        (r"creditmemo can ?not be created when an order has a status",
         "A credit memo cannot be created when an order has its present status"),
        (r"order does not allow a creditmemo", "The order does not allow a credit memo to be created"),
        (r"creditmemo contains .*not part of the original order",
         "The credit memo contains one or more items that are not part of the original order"),
        (r"can't create a creditmemo without products", "You can't create a credit memo without products"),
        (r"greater than the unrefunded quantity",
         "The quantity to credit must not be greater than the unrefunded quantity"),
        (r"shipping amount allowed to refund", "The shipping amount is more than is left to refund"),
        (r"total must be positive", "The credit memo's total must be positive"),
        (r"could not save a creditmemo", "Could not save a credit memo, see error log for details"),
        # Any request.
        (r"request does not match any route", "Request does not match any route"),
        (r"no linked stock", "No linked stock found"),
        (r"entity that was requested doesn't exist|requested entity doesn't exist|^no such entity",
         "The entity that was requested doesn't exist"),
        (r"for products without source items support", "Can't check the quantity of products without Source Items"),
        (r"isn't authorized to access", "The consumer isn't authorized to access what was asked for"),
        (r"oauth token is not valid|token is not valid|token has expired", "Oauth token is not valid"),
        (r"signature is invalid|invalid signature", "The signature is invalid"),
        (r"consumer\b.*(?:doesn't exist|not found|has expired|key is not valid)", "The consumer key is not valid"),
    )
]  # fmt: skip


def known_cause(line: str, parameters: Mapping[str, str]) -> str | None:
    """What we keep of a line of Commerce's message; None when we know no such cause.

    `parameters` are the values of its placeholders. Of all that Commerce fills in, only the name of a field is kept,
    and only if it is the name of a field.
    """
    for pattern, words in _CAUSES:
        found = pattern.search(line)
        if found:
            kept = words.format(field=_field_name(found.groupdict().get("field") or "", parameters))
            return kept[0].upper() + kept[1:]
    return None


def _field_name(given: str, parameters: Mapping[str, str]) -> str:
    name = parameters.get(given[1:], "") if given.startswith("%") else given
    return f'"{name}"' if name.casefold() in _FIELDS else "a field"


# Words that say nothing about anybody, even if they are in somebody's address or gift message.
ORDINARY_WORDS = frozenset(
    word.casefold() for _, words in _CAUSES for word in re.findall(r"[^\W\d_]+", words.replace("{field}", ""))
) - {"an", "no"}
