"""Checks lines against the rules; `ops.order_checks` keeps on which facts, and what was found. Only writer.

An order whose facts have not changed keeps its findings, so that Great Expectations, whose import takes seconds, is
needed only when something changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, Text, any_, delete, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from include.adapters.commerce.catalog import CatalogFacts
from include.database.isolation import isolate
from include.database.tables import order_checks
from include.domain.blockers import BLOCKER_CODES
from include.domain.errors import RunIncompleteError
from include.domain.money import ExchangeRate
from include.domain.orders import MERCHANT, Candidate, OrderLine
from include.domain.statuses import OPEN_STATUSES
from include.domain.stock import LineDemand, allocate
from include.expectations.order_lines import RuleResult, validate_lines
from include.expectations.rules import CATALOG_RULES, STOCK_RULES, CheckedLine, Rule, suite_sha256

_RULE_GROUPS: dict[str, Sequence[Rule]] = {"catalog": CATALOG_RULES, "stock": STOCK_RULES}

Findings = frozenset[tuple[str, str]]
"""Amazon's item id and blocker code of each finding of one order."""


@dataclass(frozen=True)
class KnownCheck:
    """One group of rules, last checked on facts with this hash."""

    facts_sha256: str
    findings: Findings


def facts_sha256(suite_sha256: str, facts: Iterable[object]) -> str:
    """SHA-256 (hex) of the rules and of the facts that they are checked on."""
    return hashlib.sha256("\n".join([suite_sha256, *sorted(map(repr, facts))]).encode()).hexdigest()


def known_checks(connection: Connection, order_ids: Collection[str]) -> dict[tuple[str, str], KnownCheck]:
    """What is known of these orders, by Amazon order id and group of rules."""
    wanted = order_checks.c.amazon_order_id == any_(literal(list(order_ids), ARRAY(Text())))
    return {
        (row.amazon_order_id, row.rule_group): KnownCheck(
            row.facts_sha256, frozenset((item_id, code) for item_id, code in row.findings)
        )
        for row in connection.execute(select(order_checks).where(wanted))
    }


def keep_checks(
    connection: Connection,
    checks: Mapping[tuple[str, str], KnownCheck],
    *,
    forget: Sequence[str],
    now: datetime,
    dag_run_id: str,
) -> None:
    """Keep these checks, and forget those of the orders in `forget`, which are not blocked any more."""
    rows = [
        {
            "amazon_order_id": order_id,
            "rule_group": group,
            "facts_sha256": check.facts_sha256,
            "findings": sorted(map(list, check.findings)),
            "checked_at": now,
            "dag_run_id": dag_run_id,
        }
        for (order_id, group), check in sorted(checks.items())
    ]
    gone = order_checks.c.amazon_order_id == any_(literal(list(forget), ARRAY(Text())))
    connection.execute(delete(order_checks).where(gone))
    if rows:
        statement = insert(order_checks)
        changed = {name: statement.excluded[name] for name in ("facts_sha256", "findings", "checked_at", "dag_run_id")}
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["amazon_order_id", "rule_group"],
                set_=changed,
                where=order_checks.c.facts_sha256 != statement.excluded.facts_sha256,
            ),
            rows,
        )


class LineCheck:
    """Every line of the candidates against every rule: `findings` by order id, each an item id and a blocker code."""

    def __init__(
        self,
        facts: CatalogFacts,
        known: Mapping[tuple[str, str], KnownCheck],
        rates: Mapping[str, ExchangeRate],  # by Amazon order id: what converts its amounts
    ) -> None:
        self.facts = facts
        self.known: dict[tuple[str, str], KnownCheck] = dict(known)
        self.results: list[RuleResult] = []
        self.duration_ms = 0
        self.findings: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.failed: dict[str, Exception] = {}  # orders that could not be checked
        self.lines: dict[tuple[str, str], CheckedLine] = {}
        for candidate in facts.checked:
            order = candidate.order
            rate = rates.get(order.amazon_order_id)
            try:
                lines = {
                    (order.amazon_order_id, each.amazon_item_id): _line(candidate, each, facts, rate)
                    for each in order.lines
                }
            except Exception as error:
                self.failed[order.amazon_order_id] = error
            else:
                self.lines |= lines
        self._check("catalog")
        blocked = set(self.failed) | {
            order_id
            for order_id, findings in self.findings.items()
            if any(BLOCKER_CODES[code].severity == "critical" for _, code in findings)
        }
        demands = [_demand(entry, line, facts, blocked) for entry in facts.checked for line in entry.order.lines]
        pending = [each for each in facts.pending if (each.stock_key, each.catalog_sku.casefold()) in facts.free]
        available = allocate([*demands, *pending], facts.free)
        self.lines = {key: replace(line, available_qty=available[key]) for key, line in self.lines.items()}
        self._check("stock")

    def _check(self, group: str) -> None:
        """Check one group of rules on the orders whose facts changed; the others keep their findings."""
        by_order: dict[str, list[CheckedLine]] = defaultdict(list)
        for line in self.lines.values():
            by_order[line.amazon_order_id].append(line)
        hashes = {order_id: facts_sha256(suite_sha256(), lines) for order_id, lines in by_order.items()}
        changed = [
            order_id
            for order_id, sha256 in hashes.items()
            if (check := self.known.get((order_id, group))) is None or check.facts_sha256 != sha256
        ]

        def evaluate(part: Sequence[str]) -> None:
            report = validate_lines([line for order_id in part for line in by_order[order_id]], _RULE_GROUPS[group])
            found: dict[str, set[tuple[str, str]]] = defaultdict(set)
            for finding in report.findings:
                found[finding.amazon_order_id].add((finding.amazon_item_id, finding.blocker_code))
            for order_id in part:
                self.known[order_id, group] = KnownCheck(hashes[order_id], frozenset(found[order_id]))
            self.results += report.results
            self.duration_ms += report.duration_ms

        for order_id, failure in isolate(changed, evaluate, RunIncompleteError):
            self.failed[order_id] = failure
            for line in by_order.pop(order_id):
                del self.lines[order_id, line.amazon_item_id]
        for order_id, lines in by_order.items():
            codes = {rule.code: place for place, rule in enumerate(_RULE_GROUPS[group])}
            places = {line.amazon_item_id: place for place, line in enumerate(lines)}
            findings = self.known[order_id, group].findings
            self.findings[order_id] += sorted(findings, key=lambda f: (places[f[0]], codes[f[1]]))


def _line(candidate: Candidate, line: OrderLine, facts: CatalogFacts, rate: ExchangeRate | None) -> CheckedLine:
    order, store = candidate.order, candidate.store
    product = facts.product(store, line)
    return CheckedLine(
        amazon_order_id=order.amazon_order_id,
        amazon_item_id=line.amazon_item_id,
        seller_sku=line.seller_sku,
        catalog_sku=line.catalog_sku(store),
        is_in_catalog=product is not None,
        is_enabled=product is not None and product.is_enabled,
        requested_qty=line.catalog_qty(store),
        available_qty=None,
        is_stock_required=candidate.decision.is_stock_required,
        currency_code=order.currency_code if rate is None else rate.to_currency,
        store_currency=facts.views[store].base_currency,
        is_in_website=product is None or facts.is_in_website(store, product),
        is_orderable_type=product is None or facts.is_orderable(store, product),
        has_amounts=order.grand_total_amount is not None and order.currency_code is not None,
        is_wanted=not (line.is_buyer_cancel_requested and order.amazon_status in OPEN_STATUSES),
        total_mismatch=order.total_mismatch,
        # Amazon withholds the addresses of what it ships itself; nobody sends a parcel there.
        address_problem=order.address_problem if order.fulfilled_by == MERCHANT else "",
    )


def _demand(candidate: Candidate, line: OrderLine, facts: CatalogFacts, blocked: set[str]) -> LineDemand:
    order, store = candidate.order, candidate.store
    product = facts.product(store, line)
    return LineDemand(
        amazon_order_id=order.amazon_order_id,
        amazon_item_id=line.amazon_item_id,
        purchased_at=order.purchased_at,
        catalog_sku=product.sku if product else line.catalog_sku(store),
        stock_key=facts.stock_key(store),
        qty=line.catalog_qty(store),
        is_stock_required=product is not None and facts.is_stock_checked(candidate, product),
        is_blocked=order.amazon_order_id in blocked,
    )
