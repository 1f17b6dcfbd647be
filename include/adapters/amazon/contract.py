"""Our contract of Amazon's order document: `amazon_contract.json`, resolved for walking and compiled for checking."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, cast

from include.domain.errors import MalformedOrderError

CONTRACT_FILE = Path(__file__).with_suffix(".json")

Node = dict[str, Any]

_MOST_DIGITS = 18

# Zones and fractions as PostgreSQL reads them too: staging casts these texts in SQL.
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?(Z|[+-](0[0-9]|1[0-4]):?[0-5][0-9])"
)
_FIRST_MOMENT, _END_OF_MOMENTS = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
_ORDER_ID = re.compile(r"[A-Z0-9]{3}-[0-9]{7}-[0-9]{7}")


@cache
def contract() -> Node:
    """The contract as one tree without $ref: each node has `type`; objects `properties`, arrays `items`. Read only."""
    schema = json.loads(CONTRACT_FILE.read_text(encoding="utf-8"))
    return _resolved({key: schema[key] for key in ("type", "properties", "required")}, schema["definitions"])


def check(document: Any) -> None:
    """Check one order document against the contract.

    Raises MalformedOrderError with the first breach as `path: rule`; neither message nor findings hold values.
    """
    from fastjsonschema import JsonSchemaValueException

    try:
        _validator()(document)
    except JsonSchemaValueException as error:
        path = (error.name or "").removeprefix("data").removeprefix(".")
        if error.rule == "required":
            missing = next(name for name in error.rule_definition if name not in error.value)
            path = f"{path}.{missing}" if path else missing
        raise malformed(document, f"{path or 'document'}: {error.rule}") from None


def malformed(document: Any, finding: str) -> MalformedOrderError:
    """The error for an order that breaks the contract in the way that `finding` (path: rule) says."""
    which = readable_order_id(document) or "without a readable id"
    return MalformedOrderError(
        f"Amazon order {which} breaks the contract ({finding}). Resolution: it is quarantined and the rest goes on; "
        "compare the field with Amazon's model, then fix the contract or ask Amazon.",
        [finding],
    )


def readable_order_id(document: Any) -> str | None:
    """The order id of a document that may be malformed; None when there is none in Amazon's form."""
    order_id = document.get("orderId") if isinstance(document, dict) else None
    return order_id if isinstance(order_id, str) and is_order_id(order_id) else None


def is_order_id(text: str) -> bool:
    """Whether it has the form of Amazon's order ids."""
    return _ORDER_ID.fullmatch(text) is not None


def is_whole(number: Decimal) -> bool:
    """Whether it is a whole number of a size that can be one of ours, such as 1.0."""
    return number.is_finite() and number.adjusted() < _MOST_DIGITS and number == number.to_integral_value()


@cache
def contract_sha256() -> str:
    """SHA-256 of the contract and of the code that checks it: tells whether a document that failed may pass now."""
    code = (Path(__file__), Path(__file__).with_name("split.py"), CONTRACT_FILE)
    return hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()


def parse_moment(text: str) -> datetime:
    """An ISO 8601 date-time with zone as UTC datetime. Raises ValueError for anything else, also for 30 February.

    The calendar's first and last day are left out: rounded, or in another zone, their moments can be outside of it.
    """
    if not _MOMENT.fullmatch(text):
        raise ValueError("not an ISO 8601 date-time with a zone")
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        raise ValueError("outside the calendar") from None
    if not _FIRST_MOMENT <= moment < _END_OF_MOMENTS:
        raise ValueError("outside the calendar")
    return moment


def _is_moment(text: str) -> bool:
    try:
        parse_moment(text)
    except ValueError:
        return False
    return True


@cache
def _validator() -> Callable[[Any], Any]:
    # Imported and compiled at first use: DAG parsing and pages reach this module and check nothing. From the resolved
    # tree: measured ten times as fast as the same schema with $ref.
    import fastjsonschema

    tree = copy.deepcopy(contract())
    return cast(
        Callable[[Any], Any], fastjsonschema.compile(tree, formats={"date-time": _is_moment}, use_default=False)
    )


def _resolved(node: Node, definitions: dict[str, Node]) -> Node:
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/definitions/")]
        node = target | {key: value for key, value in node.items() if key != "$ref"}
    if "properties" in node:
        node = node | {
            "properties": {name: _resolved(child, definitions) for name, child in node["properties"].items()}
        }
    if "items" in node:
        node = node | {"items": _resolved(node["items"], definitions)}
    return node
