"""The fields of an order and its parts, by type: what a caller may send, and what a search may filter on.

Names and types: definitions sales-data-order-interface, -item-, -payment- and -address-interface of Adobe's OpenAPI
document 2.4.9 (the same in 2.4.6). Gift wrapping and other extensions that this project does not use are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from local.sandbox.commerce.errors import CommerceRefusal, bad_type

_GRAIN = Decimal("0.0001")  # the columns for money and quantities are decimal(20,4)


@dataclass(frozen=True)
class Fields:
    """The field names of one class, by type. `parts` are nested objects, which are checked separately."""

    numbers: frozenset[str]
    integers: frozenset[str]
    texts: frozenset[str]
    parts: frozenset[str]

    @property
    def columns(self) -> frozenset[str]:
        """The fields that a search can filter and sort by."""
        return self.numbers | self.integers | self.texts


def typed(entity: Any, fields: Fields, name: str) -> dict[str, Any]:
    """A copy of the JSON object `entity` with Decimal numbers (4 decimals) and without nulls. Parts are not converted.

    As in Magento, numeric text counts as a number. Raises CommerceRefusal (400) for another type or an unknown field.
    """
    if not isinstance(entity, dict):
        raise bad_type(entity, name)
    return {field: _value(field, value, fields, name) for field, value in entity.items() if value is not None}


def _value(field: str, value: Any, fields: Fields, name: str) -> Any:
    if field in fields.parts:
        return value
    if isinstance(value, (dict, list)) and field in fields.columns:
        raise bad_type("Array", "float" if field in fields.numbers else "int" if field in fields.integers else "string")
    if field in fields.numbers:
        return decimal(value)
    if field in fields.integers:
        return int(decimal(value, "int"))
    if field in fields.texts:
        return str(value)
    wanted = field.title().replace("_", "")
    raise CommerceRefusal(400, f'Property "{wanted}" does not have accessor method "get{wanted}" in class "{name}".')


def decimal(value: Any, kind: str = "float") -> Decimal:
    """A JSON number or numeric text as a Decimal with 4 decimals. Raises CommerceRefusal (400) for anything else."""
    try:
        number = Decimal(str(int(value) if isinstance(value, bool) else value))
        if not number.is_finite():
            raise bad_type(value, kind)
        return number.quantize(_GRAIN)
    except InvalidOperation:
        raise bad_type(value, kind) from None


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ORDER = Fields(
    numbers=_names(
        """
        adjustment_negative adjustment_positive base_adjustment_negative base_adjustment_positive
        base_discount_amount base_discount_canceled base_discount_invoiced base_discount_refunded
        base_discount_tax_compensation_amount base_discount_tax_compensation_invoiced
        base_discount_tax_compensation_refunded base_grand_total base_shipping_amount base_shipping_canceled
        base_shipping_discount_amount base_shipping_discount_tax_compensation_amnt base_shipping_incl_tax
        base_shipping_invoiced base_shipping_refunded base_shipping_tax_amount base_shipping_tax_refunded
        base_subtotal base_subtotal_canceled base_subtotal_incl_tax base_subtotal_invoiced base_subtotal_refunded
        base_tax_amount base_tax_canceled base_tax_invoiced base_tax_refunded base_to_global_rate base_to_order_rate
        base_total_canceled base_total_due base_total_invoiced base_total_invoiced_cost base_total_offline_refunded
        base_total_online_refunded base_total_paid base_total_qty_ordered base_total_refunded discount_amount
        discount_canceled discount_invoiced discount_refunded discount_tax_compensation_amount
        discount_tax_compensation_invoiced discount_tax_compensation_refunded grand_total
        payment_authorization_amount shipping_amount shipping_canceled shipping_discount_amount
        shipping_discount_tax_compensation_amount shipping_incl_tax shipping_invoiced shipping_refunded
        shipping_tax_amount shipping_tax_refunded store_to_base_rate store_to_order_rate subtotal subtotal_canceled
        subtotal_incl_tax subtotal_invoiced subtotal_refunded tax_amount tax_canceled tax_invoiced tax_refunded
        total_canceled total_due total_invoiced total_offline_refunded total_online_refunded total_paid
        total_qty_ordered total_refunded weight
        """
    ),
    integers=_names(
        """
        billing_address_id can_ship_partially can_ship_partially_item customer_gender customer_group_id customer_id
        customer_is_guest customer_note_notify edit_increment email_sent entity_id forced_shipment_with_invoice
        is_virtual payment_auth_expiration quote_address_id quote_id store_id total_item_count
        """
    ),
    texts=_names(
        """
        applied_rule_ids base_currency_code coupon_code created_at customer_dob customer_email customer_firstname
        customer_lastname customer_middlename customer_note customer_prefix customer_suffix customer_taxvat
        discount_description ext_customer_id ext_order_id global_currency_code hold_before_state hold_before_status
        increment_id order_currency_code original_increment_id protect_code relation_child_id relation_child_real_id
        relation_parent_id relation_parent_real_id remote_ip shipping_description state status store_currency_code
        store_name updated_at x_forwarded_for
        """
    ),
    parts=_names("billing_address extension_attributes items payment status_histories"),
)

ORDER_ITEM = Fields(
    numbers=_names(
        """
        amount_refunded base_amount_refunded base_cost base_discount_amount base_discount_invoiced
        base_discount_refunded base_discount_tax_compensation_amount base_discount_tax_compensation_invoiced
        base_discount_tax_compensation_refunded base_original_price base_price base_price_incl_tax base_row_invoiced
        base_row_total base_row_total_incl_tax base_tax_amount base_tax_before_discount base_tax_invoiced
        base_tax_refunded discount_amount discount_invoiced discount_percent discount_refunded
        discount_tax_compensation_amount discount_tax_compensation_canceled discount_tax_compensation_invoiced
        discount_tax_compensation_refunded original_price price price_incl_tax qty_backordered qty_canceled
        qty_invoiced qty_ordered qty_refunded qty_returned qty_shipped row_invoiced row_total row_total_incl_tax
        row_weight tax_amount tax_before_discount tax_canceled tax_invoiced tax_percent tax_refunded weight
        """
    ),
    integers=_names(
        """
        event_id free_shipping is_qty_decimal is_virtual item_id locked_do_invoice locked_do_ship no_discount
        order_id parent_item_id product_id quote_item_id store_id
        """
    ),
    texts=_names(
        """
        additional_data applied_rule_ids created_at description ext_order_item_id name product_type sku updated_at
        """
    ),
    parts=_names("extension_attributes parent_item product_option"),
)

PAYMENT = Fields(
    numbers=_names(
        """
        amount_authorized amount_canceled amount_ordered amount_paid amount_refunded base_amount_authorized
        base_amount_canceled base_amount_ordered base_amount_paid base_amount_paid_online base_amount_refunded
        base_amount_refunded_online base_shipping_amount base_shipping_captured base_shipping_refunded
        shipping_amount shipping_captured shipping_refunded
        """
    ),
    integers=_names("entity_id parent_id quote_payment_id"),
    texts=_names(
        """
        account_status additional_data address_status cc_approval cc_avs_status cc_cid_status cc_exp_month
        cc_exp_year cc_last4 cc_number_enc cc_owner cc_secure_verify cc_ss_issue cc_ss_start_month cc_ss_start_year
        cc_status cc_status_description cc_trans_id cc_type last_trans_id method po_number protection_eligibility
        """
    ),
    parts=_names("additional_information extension_attributes"),
)

ADDRESS = Fields(
    numbers=frozenset(),
    integers=_names(
        """
        customer_address_id customer_id entity_id parent_id region_id vat_is_valid vat_request_success
        """
    ),
    texts=_names(
        """
        address_type city company country_id email fax firstname lastname middlename postcode prefix region
        region_code suffix telephone vat_id vat_request_date vat_request_id
        """
    ),
    parts=_names("extension_attributes street"),
)

SHIPMENT_COLUMNS = _names(
    """
    billing_address_id created_at customer_id email_sent entity_id increment_id order_id shipment_status
    shipping_address_id store_id total_qty total_weight updated_at
    """
)
PRODUCT_COLUMNS = _names("entity_id name price sku status type_id visibility weight")
CUSTOMER_COLUMNS = _names("created_at email entity_id firstname group_id lastname store_id updated_at website_id")
HISTORY = Fields(
    numbers=frozenset(),
    integers=_names("entity_id is_customer_notified is_visible_on_front parent_id"),
    texts=_names("comment created_at entity_name status"),
    parts=_names("extension_attributes"),
)
