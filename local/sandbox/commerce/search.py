"""Answers `searchCriteria[...]` and `fields=` in a query string with a page of documents, with Magento's quirks.

Rules: https://developer.adobe.com/commerce/webapi/rest/use-rest/performing-searches/ (filters within a group
are combined with OR, groups with AND; the default sort direction is descending) and .../retrieve-filtered-responses/
(`fields`). A page number past the end returns the last page again (magento2 issues 3787 and 8099).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from local.sandbox.commerce.errors import bad_type, internal_error, required

Document = dict[str, Any]
Query = Sequence[tuple[str, str]]

_ARGUMENT = re.compile(r"(searchCriteria|search_criteria)((?:\[[^\]]*\])*)")
_ORDERED = ("gt", "gteq", "from", "lt", "lteq", "to")


def bracketed(query: Query, name: str) -> dict[str, Any]:
    """The parameters `name[a][b]=value` of a query as nested dicts with snake_case keys. Indexes are kept as text."""
    tree: dict[str, Any] = {}
    for key, value in query:
        if not key.startswith(name + "["):
            continue
        path = [_snake(part) for part in re.findall(r"\[([^\]]*)\]", key[len(name) :])]
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise bad_type(value, "array")
        node[path[-1]] = value
    return tree


def search(documents: Iterable[Document], query: Query, columns: frozenset[str]) -> Document:
    """The answer to a search: items, search_criteria, total_count.

    Raises CommerceRefusal: 400 without searchCriteria, 500 for an unknown column or condition.
    """
    if not any(_ARGUMENT.fullmatch(key) for key, _ in query):
        raise required(["searchCriteria"])
    criteria = bracketed(query, "searchCriteria") or bracketed(query, "search_criteria")
    given = _listed(criteria.get("filter_groups"))
    groups = [[_filter(one, columns) for one in _listed(group.get("filters"))] for group in given]
    sorts = [_sort(one, columns) for one in _listed(criteria.get("sort_orders"))]
    found = [document for document in documents if all(not g or any(_fits(document, f) for f in g) for g in groups)]
    for one in reversed(sorts):
        ranks = {id(document): _rank(document.get(one["field"])) for document in found}
        found.sort(key=lambda document: ranks[id(document)], reverse=one["direction"] == "DESC")

    size, page = _whole(criteria, "page_size", 0), max(_whole(criteria, "current_page", 1), 1)
    echo: Document = {"filter_groups": [{"filters": group} for group in groups]}
    if sorts:
        echo["sort_orders"] = sorts
    if size:
        echo["page_size"] = size
    if "current_page" in criteria:
        echo["current_page"] = page
    items = found
    if size:
        last_page = max(-(-len(found) // size), 1)
        start = (min(page, last_page) - 1) * size
        items = found[start : start + size]
    return {"items": items, "search_criteria": echo, "total_count": len(found)}


def trimmed(answer: Any, fields: str | None) -> Any:
    """`answer` reduced to `fields` (`items[id,sku],total_count`); an empty list if `fields` is not well-formed."""
    if fields is None or not isinstance(answer, (dict, list)):
        return answer
    tree = _field_tree(fields)
    return [] if tree is None else _pick(answer, tree)


def _field_tree(fields: str) -> Document | None:
    if not re.fullmatch(r"[\w\[\],]+", fields, re.ASCII):
        return None
    stack: list[Document] = [{}]
    names: list[str] = []
    last = ""
    for token in re.findall(r"\w+|[\[\]]", fields):
        if token == "[":
            names.append(last)
            stack.append({})
        elif token == "]":
            if not names:
                return None
            branch = stack.pop()
            stack[-1][names.pop()] = branch
        else:
            last = token
            stack[-1][token] = None
    return stack[0] if len(stack) == 1 else None


def _pick(value: Any, tree: Document) -> Any:
    if isinstance(value, list):
        return [_pick(entry, tree) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _pick(entry, tree[key]) if tree[key] and isinstance(entry, (dict, list)) else entry
        for key, entry in value.items()
        if key in tree
    }


def _listed(node: Any) -> list[Any]:
    """The entries of a PHP array, whose keys are indexes, in the order of the query."""
    if node is None:
        return []
    if not isinstance(node, dict) or not all(isinstance(entry, dict) for entry in node.values()):
        raise bad_type(node, "array")
    return list(node.values())


def _filter(one: Document, columns: frozenset[str]) -> dict[str, str]:
    condition = one.get("condition_type", "eq")
    known = ("eq", "neq", "in", "nin", "like", "nlike", "null", "notnull", "finset", *_ORDERED)
    if one.get("field") not in columns or condition not in known:
        raise internal_error()
    return {"field": one["field"], "value": one.get("value", ""), "condition_type": condition}


def _sort(one: Document, columns: frozenset[str]) -> dict[str, str]:
    direction = str(one.get("direction", "DESC")).upper()
    if one.get("field") not in columns or direction not in ("ASC", "DESC"):
        raise internal_error()
    return {"field": one["field"], "direction": direction}


def _fits(document: Document, one: dict[str, str]) -> bool:
    actual, wanted, condition = document.get(one["field"]), one["value"], one["condition_type"]
    if condition in ("null", "notnull"):
        return (actual is None) == (condition == "null")
    if actual is None:  # as in SQL, NULL matches no comparison, not even neq and nin
        return False
    text = str(actual).casefold()  # the database's collation ignores case
    match condition:
        case "eq":
            return _compared(actual, wanted) == 0
        case "neq":
            return _compared(actual, wanted) != 0
        case "in" | "nin":
            # The value is split at every comma, so a SKU that contains one is never found.
            return any(_compared(actual, part.strip()) == 0 for part in wanted.split(",")) == (condition == "in")
        case "like" | "nlike":
            return bool(_like(wanted).fullmatch(text)) == (condition == "like")
        case "finset":
            return wanted.casefold() in text.split(",")
    order = _compared(actual, wanted)
    if order is None:
        return False
    return {"gt": order > 0, "gteq": order >= 0, "from": order >= 0, "lt": order < 0}.get(condition, order <= 0)


def _compared(actual: Any, wanted: str) -> int | None:
    """-1, 0 or 1 if `actual` is below, equal to or above `wanted`; None if they cannot be compared."""
    if isinstance(actual, (int, Decimal)):
        try:
            number = Decimal(wanted)
        except InvalidOperation:
            return None
        return (actual > number) - (actual < number)
    left, right = str(actual).casefold(), wanted.casefold()
    return (left > right) - (left < right)


def _like(pattern: str) -> re.Pattern[str]:
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(char, re.escape(char)) for char in pattern.casefold()), re.DOTALL)


def _rank(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    return (1, value) if isinstance(value, (int, Decimal)) else (2, str(value).casefold())


def _whole(criteria: Document, name: str, default: int) -> int:
    value = criteria.get(name, default)
    try:
        return int(value)
    except (TypeError, ValueError):
        raise bad_type(value, "int") from None


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


def need(query: Query, *names: str) -> str:
    """The value of a parameter under any of its spellings. If missing, raises CommerceRefusal (400)."""
    for key, value in query:
        if key in names:
            return value
    raise required([names[0]])
