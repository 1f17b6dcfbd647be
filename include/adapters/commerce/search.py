"""Commerce's search language: filters go in, query parameters come out.

Filters inside a group are OR-ed, groups are AND-ed (https://developer.adobe.com/commerce/webapi/rest/use-rest/,
"performing searches", checked 2026-11).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

Filter = tuple[str, str, str]  # field, condition type, value

PAGE_SIZE = 100
BATCH_SIZE = 50
_BATCH_CHARACTERS = 3000  # encoded; web servers refuse request lines beyond 8 KB


def search_query(groups: Sequence[Sequence[Filter]], fields: str) -> list[tuple[str, str]]:
    """The parameters of one search without its page number: by ascending id, hits trimmed to `fields`."""
    query = [("fields", f"items[{fields}],total_count")]
    for group_index, group in enumerate(groups):
        for index, (field, condition, value) in enumerate(group):
            prefix = f"searchCriteria[filter_groups][{group_index}][filters][{index}]"
            query += [(f"{prefix}[field]", field), (f"{prefix}[value]", value)]
            query.append((f"{prefix}[condition_type]", condition))
    return [
        *query,
        ("searchCriteria[sortOrders][0][field]", "entity_id"),
        ("searchCriteria[sortOrders][0][direction]", "ASC"),
        ("searchCriteria[pageSize]", str(PAGE_SIZE)),
    ]


def batches(values: Sequence[str]) -> Iterator[list[str]]:
    """`values` in their order, in lists that fit into one request: at most 50, and not too long as a query."""
    batch: list[str] = []
    characters = 0
    for value in values:
        length = len(quote(value, safe=""))
        if batch and (len(batch) == BATCH_SIZE or characters + length > _BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(value)
        characters += length
    if batch:
        yield batch


def any_of(field: str, values: Sequence[str]) -> list[Filter]:
    """One group of filters: the field has one of these values."""
    # Commerce splits the list of `in` at commas; filters of one group are OR-ed.
    plain = [value for value in values if "," not in value]
    group: list[Filter] = [(field, "eq", value) for value in values if "," in value]
    if plain:
        group.append((field, "in", ",".join(plain)))
    return group


def sku_key(sku: str) -> str:
    """The same for texts that Commerce's database takes for equal: it ignores case and trailing blanks."""
    return sku.rstrip(" ").casefold()
