"""The rules for order lines, as plain values: what each checks, on which columns, for which lines.

A *blocker rule* finds lines that block their order; code and severity are those of `include.domain.blockers`. A *data
check* proves that every line can be evaluated: Great Expectations skips nulls and passes an empty frame, so that a line
without a value would otherwise pass. Nothing here imports Great Expectations.

The rules come in two groups. CATALOG_RULES need no stock. Stock is then allocated among the orders that pass them, and
STOCK_RULES check the result: a blocked order takes no stock from a sound one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal

from include.domain.blockers import BLOCKER_CODES, Severity

KEY_COLUMNS = ("amazon_order_id", "amazon_item_id")
LINE_COUNT_PARAMETER = "line_count"

Argument = str | bool | list[str] | list[bool] | dict[str, str]


@dataclass(frozen=True)
class CheckedLine:
    """One order line with all that the rules need. No personal data.

    Quantities in units; `available_qty` None: stock is not limited. Currencies ISO 4217; None: not known.
    `has_amounts`: Amazon gives a total for the order. `is_wanted`: the buyer has not asked to cancel the line.
    `address_problem`: the fields of the delivery address that no Commerce order can have; empty: there are none.
    `total_mismatch`: Amazon's grand total and the sum of its lines if they differ, else empty.
    """

    amazon_order_id: str
    amazon_item_id: str
    seller_sku: str
    catalog_sku: str
    is_in_catalog: bool
    is_enabled: bool
    requested_qty: int
    available_qty: Decimal | None
    is_stock_required: bool
    currency_code: str | None
    store_currency: str | None
    is_orderable_type: bool = True
    is_in_website: bool = True
    has_amounts: bool = True
    is_wanted: bool = True
    address_problem: str = ""
    total_mismatch: str = ""


@dataclass(frozen=True)
class Rule:
    """One expectation: `arguments` are those of Great Expectations' `expectation_type`.

    It is put only to the lines in which every column of `only_where` is true. A line that breaks a blocker rule
    blocks its order; one that breaks a data check makes the whole validation void.
    """

    code: str
    severity: Severity
    expectation_type: str
    arguments: dict[str, Argument]
    only_where: tuple[str, ...] = ()
    is_blocker: bool = False


def _blocker(
    code: str, expectation_type: str, arguments: dict[str, Argument], only_where: tuple[str, ...] = ()
) -> Rule:
    return Rule(code, BLOCKER_CODES[code].severity, expectation_type, arguments, only_where, is_blocker=True)


def _flag(code: str, column: str, only_where: tuple[str, ...] = ()) -> Rule:
    """A blocker rule that every line passes in which `column` is true."""
    return _blocker(code, "expect_column_values_to_be_in_set", {"column": column, "value_set": [True]}, only_where)


def _empty(code: str, column: str) -> Rule:
    """A blocker rule that every line passes in which `column`, a text, is empty."""
    return _blocker(code, "expect_column_values_to_be_in_set", {"column": column, "value_set": [""]})


def _known(column: str, only_where: tuple[str, ...] = ()) -> Rule:
    return Rule(f"{column}_known", "critical", "expect_column_values_to_not_be_null", {"column": column}, only_where)


CATALOG_RULES: tuple[Rule, ...] = (
    Rule(
        "every_line_present",
        "critical",
        "expect_table_row_count_to_equal",
        {"value": {"$PARAMETER": LINE_COUNT_PARAMETER}},
    ),
    *(_known(column) for column in KEY_COLUMNS),
    _known("has_amounts"),
    _known("is_wanted"),
    _known("address_problem"),
    _known("total_mismatch"),
    _known("is_in_catalog"),
    _known("is_enabled"),
    _known("is_in_website"),
    _known("is_orderable_type"),
    Rule("line_unique", "critical", "expect_compound_columns_to_be_unique", {"column_list": list(KEY_COLUMNS)}),
    _flag("amount_missing", "has_amounts"),
    _flag("buyer_requested_cancel", "is_wanted"),
    _empty("bad_address", "address_problem"),
    _empty("total_mismatch", "total_mismatch"),
    _flag("missing_product", "is_in_catalog"),
    _flag("disabled_product", "is_enabled", only_where=("is_in_catalog",)),
    _flag("not_in_website", "is_in_website", only_where=("is_in_catalog",)),
    _flag("unsupported_product_type", "is_orderable_type", only_where=("is_in_catalog",)),
    _blocker(
        "currency_mismatch",
        "expect_column_pair_values_to_be_equal",
        {"column_A": "currency_code", "column_B": "store_currency", "ignore_row_if": "either_value_is_missing"},
    ),
)

STOCK_RULES: tuple[Rule, ...] = (
    Rule(
        "every_line_present_for_stock",
        "critical",
        "expect_table_row_count_to_equal",
        {"value": {"$PARAMETER": LINE_COUNT_PARAMETER}},
    ),
    _known("is_stock_required"),
    _known("requested_qty"),
    # Decimal("NaN") counts as null here: a limit without a number.
    _known("available_qty", ("is_stock_limited",)),
    _blocker(
        "out_of_stock",
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "available_qty", "column_B": "requested_qty", "or_equal": True, "ignore_row_if": "neither"},
        ("is_in_catalog", "is_stock_required", "is_stock_limited"),
    ),
)

RULES = (*CATALOG_RULES, *STOCK_RULES)


def suite_sha256(rules: Sequence[Rule] = RULES) -> str:
    """SHA-256 (hex) of the rules: changes whenever a rule does, whatever Great Expectations' version."""
    return hashlib.sha256(json.dumps([asdict(rule) for rule in rules], sort_keys=True).encode()).hexdigest()
