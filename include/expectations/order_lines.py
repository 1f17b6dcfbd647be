"""Checks order lines, joined with the catalog and with their share of the stock: which block their order, and why.

Great Expectations runs the rules of `include.expectations.rules` on a pandas frame, the only engine that names every
failing line. Both are imported inside the functions: that takes seconds, and a run without lines must not pay.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.domain.errors import RunIncompleteError
from include.expectations.rules import KEY_COLUMNS, LINE_COUNT_PARAMETER, RULES, CheckedLine, Rule, suite_sha256

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation

LineKey = tuple[str, str]
"""Amazon's order id and item id."""


@dataclass(frozen=True)
class Finding:
    """One line that breaks one blocker rule; the code is a key of `include.domain.blockers.BLOCKER_CODES`."""

    amazon_order_id: str
    amazon_item_id: str
    blocker_code: str


@dataclass(frozen=True)
class RuleResult:
    """What one rule reported about the whole batch; counts are of order lines."""

    rule_code: str
    expectation_type: str
    severity: str
    is_success: bool
    is_errored: bool
    evaluated_count: int
    unexpected_count: int


@dataclass(frozen=True)
class ValidationReport:
    """Findings in the order of the lines, then of the rules; one result per rule. `duration_ms` is without imports."""

    suite_sha256: str
    findings: list[Finding]
    results: list[RuleResult]
    duration_ms: int


def validate_lines(lines: Sequence[CheckedLine], rules: Sequence[Rule] = RULES) -> ValidationReport:
    """Check every line against every rule.

    Every blocker of a line is found, except that a missing product cannot be disabled or short as well. No lines: an
    empty report, without importing Great Expectations.

    Raises RunIncompleteError if a data check fails, or if Great Expectations could not evaluate a rule or contradicts
    itself: then nothing is known about any line, and none may pass.
    """
    if not lines:
        return ValidationReport(suite_sha256(), [], [], 0)
    with warnings.catch_warnings():
        # Great Expectations' own and those of what it imports; none speaks of our lines.
        warnings.simplefilter("ignore")
        _import_great_expectations()
        started = time.perf_counter()
        results, broken = check_frame(frame_of(lines), len(lines), rules)
    findings = [
        Finding(line.amazon_order_id, line.amazon_item_id, rule.code)
        for line in lines
        for rule in rules
        if rule.is_blocker and (line.amazon_order_id, line.amazon_item_id) in broken[rule.code]
    ]
    return ValidationReport(suite_sha256(), findings, results, round((time.perf_counter() - started) * 1000))


def _import_great_expectations() -> None:
    # Read once, at its import: without this it reports usage to its makers.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    # Otherwise its import and every run write hundreds of lines to a task log at level INFO.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations  # noqa: F401


def frame_of(lines: Sequence[CheckedLine]) -> pd.DataFrame:
    """One row per line, one column per field, and `is_stock_limited`."""
    import pandas as pd

    rows = [vars(line) | {"is_stock_limited": line.available_qty is not None} for line in lines]
    # As Python objects: pandas' own types turn a None among whole numbers into NaN and the numbers into floats; as
    # objects, Decimal and int are compared by Python, exactly.
    return pd.DataFrame(rows, dtype=object)


def check_frame(
    frame: pd.DataFrame, line_count: int, rules: Sequence[Rule] = RULES
) -> tuple[list[RuleResult], dict[str, frozenset[LineKey]]]:
    """Check the frame of `line_count` lines that `frame_of` made against every rule.

    Out: results in the rules' order, and by rule code the lines that break it. Raises RunIncompleteError as
    `validate_lines` does.
    """
    outcomes = _evaluate(frame, line_count, rules)
    results: list[RuleResult] = []
    broken: dict[str, frozenset[LineKey]] = {}
    faults: list[str] = []
    for rule in rules:
        if rule.code not in outcomes:
            faults.append(f"{rule.code} has no result")
            continue
        result, keys = _read(rule, outcomes[rule.code], line_count)
        results.append(result)
        broken[rule.code] = keys
        if result.is_errored:
            causes = _exceptions(outcomes[rule.code]) or ["the result contradicts itself"]
            faults.append(f"{rule.code} could not be evaluated ({causes[0][:200]})")
        elif not rule.is_blocker and not result.is_success:
            faults.append(f"{rule.code} fails for {result.unexpected_count} of {result.evaluated_count} lines")
    if faults:
        raise RunIncompleteError(
            f"Validation of {line_count} order lines is void, none of their orders may pass: {'; '.join(faults)}. "
            "Resolution: if trying again does not help, report this with the versions of great-expectations and pandas."
        )
    return results, broken


def _evaluate(frame: pd.DataFrame, line_count: int, rules: Sequence[Rule]) -> dict[str, ExpectationValidationResult]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )
    from great_expectations.exceptions.exceptions import GreatExpectationsError

    try:
        context = gx.get_context(
            mode="ephemeral",
            # The default ephemeral context comes with Data Docs: pages that show failing values.
            project_config=DataContextConfig(
                store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
                progress_bars=ProgressBarsConfig(globally=False),
            ),
        )
        asset = context.data_sources.add_pandas("orders").add_dataframe_asset("order_lines")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        outcome = batch.validate(
            gx.ExpectationSuite("order_lines", expectations=[_expectation(rule) for rule in rules]),
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": list(KEY_COLUMNS),
                "return_unexpected_index_query": False,
                "partial_unexpected_count": 0,
            },
            expectation_parameters={LINE_COUNT_PARAMETER: line_count},
        )
    except GreatExpectationsError as error:
        raise RunIncompleteError(f"Great Expectations failed ({type(error).__name__}): no line was checked.") from error
    # Great Expectations returns the results in an order of its own.
    return {
        result.expectation_config.meta["rule_code"]: result for result in outcome.results if result.expectation_config
    }


def _expectation(rule: Rule) -> Expectation:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity
    from great_expectations.expectations.row_conditions import AndCondition, Column

    arguments: dict[str, Any] = dict(rule.arguments)
    if rule.only_where:
        arguments["row_condition"] = AndCondition(
            conditions=[Column(name) == True for name in rule.only_where]  # noqa: E712 - builds a condition
        )
    return ExpectationConfiguration(
        type=rule.expectation_type,
        kwargs=arguments,
        severity=FailureSeverity(rule.severity),
        meta={"rule_code": rule.code},
    ).to_domain_obj()


def _read(rule: Rule, outcome: ExpectationValidationResult, line_count: int) -> tuple[RuleResult, frozenset[LineKey]]:
    """One rule's result in our words, with the keys of the lines that break it.

    Whatever does not add up counts as errored: an exception, which Great Expectations reports as a failed expectation;
    fewer keys than failures; a result that its counts contradict.
    """
    detail: dict[str, Any] = outcome.result
    failing: list[dict[str, str]] = detail.get("unexpected_index_list") or []
    if "observed_value" in detail:  # of the whole frame: names no lines
        evaluated = detail["observed_value"]
        unexpected = named = abs(evaluated - line_count)
    else:
        evaluated = detail.get("element_count", 0) - detail.get("missing_count", 0)
        unexpected, named = detail.get("unexpected_count", 0), len(failing)
    is_sound = named == unexpected and outcome.success == (unexpected == 0)
    result = RuleResult(
        rule_code=rule.code,
        expectation_type=rule.expectation_type,
        severity=rule.severity,
        is_success=bool(outcome.success),
        is_errored=not detail or not is_sound or bool(_exceptions(outcome)),
        evaluated_count=int(evaluated),
        unexpected_count=int(unexpected),
    )
    return result, frozenset((keys["amazon_order_id"], keys["amazon_item_id"]) for keys in failing)


def _exceptions(outcome: ExpectationValidationResult) -> list[str]:
    # Great Expectations gives one entry for the expectation, or one for each of its metrics.
    info = outcome.exception_info
    entries = [info, *(entry for entry in info.values() if isinstance(entry, dict))]
    return [str(entry["exception_message"]) for entry in entries if entry.get("raised_exception")]
