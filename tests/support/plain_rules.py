"""The validation rules once more, in plain Python: the measure of Great Expectations, and a fast stand-in for it.

Great Expectations takes half a second of a run. Tests of faults, kills and races make hundreds of runs and use these
rules (fixture `plain_rules`); tests/unit/test_expectations.py shows that both find the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from include.expectations.order_lines import Finding, RuleResult, ValidationReport
from include.expectations.rules import RULES, CheckedLine, Rule, suite_sha256


def plain_findings(lines: Sequence[CheckedLine], rules: Sequence[Rule] = RULES) -> list[Finding]:
    """What of `rules` the lines break, with exact fractions."""
    wanted = {rule.code for rule in rules if rule.is_blocker}
    return [
        Finding(line.amazon_order_id, line.amazon_item_id, code)
        for line in lines
        for code in _codes(line)
        if code in wanted
    ]


def _codes(line: CheckedLine) -> list[str]:
    codes = [] if line.has_amounts else ["amount_missing"]
    codes += [] if line.is_wanted else ["buyer_requested_cancel"]
    codes += ["bad_address"] if line.address_problem else []
    codes += ["total_mismatch"] if line.total_mismatch else []
    if not line.is_in_catalog:
        codes.append("missing_product")
    else:
        codes += [] if line.is_enabled else ["disabled_product"]
        codes += [] if line.is_in_website else ["not_in_website"]
        codes += [] if line.is_orderable_type else ["unsupported_product_type"]
    known = [code for code in (line.currency_code, line.store_currency) if code is not None]
    if len(set(known)) == 2:
        codes.append("currency_mismatch")
    if line.is_in_catalog and line.is_stock_required and line.available_qty is not None:
        codes += ["out_of_stock"] if Fraction(line.available_qty) < line.requested_qty else []
    return codes


def validate_lines(lines: Sequence[CheckedLine], rules: Sequence[Rule] = RULES) -> ValidationReport:
    """In place of include.expectations.order_lines.validate_lines; every rule counts all lines as evaluated."""
    findings = plain_findings(lines, rules)
    results = []
    for rule in rules if lines else ():
        found = sum(finding.blocker_code == rule.code for finding in findings)
        values = (rule.code, rule.expectation_type, rule.severity, found == 0, False, len(lines), found)
        results.append(RuleResult(*values))
    return ValidationReport(suite_sha256(), findings, results, 0)
