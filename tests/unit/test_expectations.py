"""The Great Expectations suite finds what a plain-Python oracle finds, and never lets a line pass unevaluated."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from include.domain.blockers import BLOCKER_CODES
from include.domain.errors import RunIncompleteError
from include.expectations.order_lines import Finding, check_frame, frame_of, validate_lines
from include.expectations.rules import RULES, CheckedLine, suite_sha256
from tests.support.plain_rules import plain_findings

ROOT = Path(__file__).parents[2]

LINE = CheckedLine(
    amazon_order_id="902-3159896-1390916",
    amazon_item_id="60696125413094",
    seller_sku="A-MUG",
    catalog_sku="MUG",
    is_in_catalog=True,
    is_enabled=True,
    requested_qty=2,
    available_qty=Decimal(5),
    is_stock_required=True,
    currency_code="USD",
    store_currency="USD",
)


def codes_of(line: CheckedLine) -> list[str]:
    return [finding.blocker_code for finding in validate_lines([line]).findings]


texts = st.one_of(
    st.sampled_from(["", "nan", "None", "1e5", "001", 'O\'Hara `x` "y"', "é ß 陶器"]), st.text(max_size=8)
)
currencies = st.sampled_from(["USD", "EUR", "JPY", None])
quantities = st.one_of(
    st.none(),
    st.decimals(-2, 12, places=4),
    st.integers(0, 9).map(Decimal),
    st.sampled_from([Decimal("2.9999"), Decimal("3.0000"), Decimal("1E+1"), Decimal(2**53), Decimal(2**53 + 1)]),
)
lines_strategy = st.lists(
    st.builds(
        CheckedLine,
        amazon_order_id=texts,
        amazon_item_id=texts,
        seller_sku=texts,
        catalog_sku=texts,
        is_in_catalog=st.booleans(),
        is_enabled=st.booleans(),
        requested_qty=st.one_of(st.integers(0, 9), st.sampled_from([2**53, 2**53 + 1, 10**30])),
        available_qty=quantities,
        is_stock_required=st.booleans(),
        currency_code=currencies,
        store_currency=currencies,
        is_orderable_type=st.booleans(),
        is_in_website=st.booleans(),
        is_wanted=st.booleans(),
        address_problem=st.sampled_from(["", "city is missing"]),
        total_mismatch=st.sampled_from(["", "2 against 1 USD"]),
    ),
    unique_by=lambda line: (line.amazon_order_id, line.amazon_item_id),
    min_size=1,
    max_size=60,
)


# No shrinking: at a tenth of a second for each try it would take minutes, and a failure names the lines anyway.
@settings(
    max_examples=10,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(lines_strategy)
def test_findings_equal_the_oracle_when_lines_are_random(lines: list[CheckedLine]) -> None:
    report = validate_lines(lines)
    assert report.findings == plain_findings(lines)
    assert [result.rule_code for result in report.results] == [rule.code for rule in RULES]
    for result in report.results:
        found = sum(finding.blocker_code == result.rule_code for finding in report.findings)
        assert (result.is_success, result.is_errored, result.unexpected_count) == (found == 0, False, found)


def random_line(number: int, dice: random.Random) -> CheckedLine:
    return replace(
        LINE,
        amazon_order_id=f"902-0000000-{number // 3:07}",
        amazon_item_id=str(number),
        is_in_catalog=dice.random() < 0.8,
        is_enabled=dice.random() < 0.8,
        requested_qty=dice.randint(1, 9),
        available_qty=dice.choice([None, Decimal(dice.randint(0, 90000)).scaleb(-4)]),
        is_stock_required=dice.random() < 0.8,
        currency_code=dice.choice(["USD", "EUR", None]),
        store_currency=dice.choice(["USD", "EUR", None]),
        is_orderable_type=dice.random() < 0.9,
        is_in_website=dice.random() < 0.9,
        has_amounts=dice.random() < 0.9,
        is_wanted=dice.random() < 0.9,
        address_problem="" if dice.random() < 0.9 else "city is missing",
        total_mismatch="" if dice.random() < 0.9 else "2 against 1 USD",
    )


def test_findings_equal_the_oracle_when_a_batch_is_large() -> None:
    """More failing lines per rule than Great Expectations lists in its shortened formats (200)."""
    dice = random.Random(20261102)
    lines = [random_line(number, dice) for number in range(5000)]
    expected = plain_findings(lines)
    assert all(sum(finding.blocker_code == code for finding in expected) > 250 for code in codes_in(expected))
    assert codes_in(expected) == {rule.code for rule in RULES if rule.is_blocker}
    assert validate_lines(lines).findings == expected


def codes_in(findings: list[Finding]) -> set[str]:
    return {finding.blocker_code for finding in findings}


def test_nothing_is_found_when_the_line_is_sound() -> None:
    assert codes_of(LINE) == []


def test_every_blocker_is_found_when_a_line_has_several() -> None:
    line = replace(LINE, is_enabled=False, available_qty=Decimal("1.9999"), currency_code="EUR")
    assert codes_of(line) == ["disabled_product", "currency_mismatch", "out_of_stock"]


def test_product_is_neither_disabled_nor_short_when_it_is_missing() -> None:
    assert codes_of(replace(LINE, is_in_catalog=False, is_enabled=False, available_qty=Decimal(0))) == [
        "missing_product"
    ]


@pytest.mark.parametrize(
    ("requested", "available", "is_short"),
    [
        (3, Decimal("2.9999"), True),
        (3, Decimal("3.0000"), False),
        (3, Decimal("2.9999999999999999999"), True),
        (2**53 + 1, Decimal(2**53), True),
        (10**30, Decimal(10**30), False),
        (1, Decimal("-0.0001"), True),
    ],
)
def test_quantities_are_compared_exactly_when_a_float_would_round(
    requested: int, available: Decimal, is_short: bool
) -> None:
    line = replace(LINE, requested_qty=requested, available_qty=available)
    assert codes_of(line) == (["out_of_stock"] if is_short else [])


def test_counts_report_how_many_lines_a_rule_evaluated_when_it_skips_some() -> None:
    lines = [
        LINE,
        replace(LINE, amazon_item_id="2", is_in_catalog=False),
        replace(LINE, amazon_item_id="3", available_qty=None, currency_code=None),
    ]
    counts = {result.rule_code: result.evaluated_count for result in validate_lines(lines).results}
    assert {code: counts[code] for code in ("every_line_present", "missing_product", "disabled_product")} == {
        "every_line_present": 3,
        "missing_product": 3,
        "disabled_product": 2,
    }
    assert (counts["out_of_stock"], counts["currency_mismatch"]) == (1, 2)


@pytest.mark.parametrize(
    ("column", "value", "rule_code"),
    [
        ("amazon_order_id", None, "amazon_order_id_known"),
        ("amazon_item_id", None, "amazon_item_id_known"),
        ("is_in_catalog", None, "is_in_catalog_known"),
        ("is_enabled", None, "is_enabled_known"),
        ("is_in_website", None, "is_in_website_known"),
        ("is_wanted", None, "is_wanted_known"),
        ("address_problem", None, "address_problem_known"),
        ("total_mismatch", None, "total_mismatch_known"),
        ("is_stock_required", None, "is_stock_required_known"),
        ("requested_qty", None, "requested_qty_known"),
        ("available_qty", Decimal("NaN"), "available_qty_known"),
        ("available_qty", Decimal("sNaN"), "out_of_stock"),
        ("available_qty", "5", "out_of_stock"),
    ],
)
def test_validation_is_void_when_a_line_cannot_be_evaluated(column: str, value: Any, rule_code: str) -> None:
    fields: dict[str, Any] = {column: value}
    with pytest.raises(RunIncompleteError, match=rule_code):
        validate_lines([replace(LINE, amazon_item_id="1"), replace(replace(LINE, amazon_item_id="2"), **fields)])


def test_validation_is_void_when_a_line_comes_twice() -> None:
    with pytest.raises(RunIncompleteError, match="line_unique fails for 2 of 2 lines"):
        validate_lines([LINE, LINE])


def test_validation_is_void_when_the_frame_lost_a_line() -> None:
    lines = [LINE, replace(LINE, amazon_item_id="2")]
    with pytest.raises(RunIncompleteError, match="every_line_present"):
        check_frame(frame_of(lines[:1]), len(lines))


@pytest.mark.parametrize(
    "column",
    ["has_amounts", "is_wanted", "is_in_catalog", "is_enabled", "is_orderable_type", "available_qty", "store_currency"],
)
def test_validation_is_void_when_the_frame_lost_a_column(column: str) -> None:
    with pytest.raises(RunIncompleteError, match=column):
        check_frame(frame_of([LINE]).drop(columns=column), 1)


def test_rules_have_the_severity_of_their_blocker_when_they_find_one() -> None:
    blockers = {rule.code: rule.severity for rule in RULES if rule.is_blocker}
    assert blockers == {code: BLOCKER_CODES[code].severity for code in blockers}
    assert blockers.keys() == {
        "amount_missing",
        "bad_address",
        "buyer_requested_cancel",
        "missing_product",
        "disabled_product",
        "not_in_website",
        "unsupported_product_type",
        "out_of_stock",
        "currency_mismatch",
        "total_mismatch",
    }
    assert len({rule.code for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    "change", [{"severity": "info"}, {"only_where": ()}, {"arguments": {"column": "is_enabled", "value_set": [False]}}]
)
def test_suite_hash_differs_when_a_rule_changes(change: dict[str, Any]) -> None:
    changed = [replace(rule, **change) if rule.code == "disabled_product" else rule for rule in RULES]
    assert suite_sha256(changed) != suite_sha256()


QUIET = """
import logging, os, random, sys
logging.basicConfig(level=logging.INFO)
sys.path.insert(0, "tests/unit")
from include.expectations.order_lines import validate_lines
from test_expectations import random_line
dice = random.Random(1)
report = validate_lines([random_line(number, dice) for number in range(50)])
assert report.findings
assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
"""


def test_nothing_is_printed_warned_or_left_behind_when_a_task_validates(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "GX_ANALYTICS_ENABLED"}
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", QUIET],
        cwd=ROOT,
        env=environment | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
