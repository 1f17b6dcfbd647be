"""Every setting of the project: name, type, default, unit, meaning. Read once from the environment, `ORDERS_...` each.

Connections to Amazon, Commerce and the databases are Airflow connections, not settings (`docs/configuration.md`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from include.domain.errors import MisconfiguredError

log = logging.getLogger(__name__)

PREFIX = "ORDERS_"
# Variables with our prefix that are not settings: the ports of the sandbox servers (local/environment.py).
_NOT_SETTINGS = ("ORDERS_SANDBOX_",)
_NO_SCHEDULE = "off"
# Airflow's names for cron expressions. Its @once and @continuous are no schedules for a sync.
_SCHEDULE_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


def _setting(default: Any, meaning: str, *, secret: bool = False, unit: str = "") -> Any:
    return field(default=default, metadata={"meaning": meaning, "secret": secret, "unit": unit}, repr=not secret)


def _seconds(default: int, meaning: str) -> Any:
    return _setting(timedelta(seconds=default), meaning, unit="seconds")


def _days(default: int, meaning: str) -> Any:
    return _setting(timedelta(days=default), meaning, unit="days")


@dataclass(frozen=True)
class Settings:
    """All settings. A duration is a timedelta here; its environment variable ends in the unit, _SECONDS or _DAYS."""

    stores_file: str = _setting(str(Path(__file__).parent / "stores.yaml"), "The stores file.")
    carriers_file: str = _setting(
        str(Path(__file__).parent / "carriers.yaml"), "The carriers file: which carrier of Commerce is which on Amazon."
    )
    pii_keys: str = _setting(
        "", "Fernet keys for personal data, newest first, separated by commas. Required.", secret=True
    )
    db_admin_url: str = _setting(
        "",
        "Address of the orders database as its administrator, for migrations; empty: the connection orders_db.",
        secret=True,
    )
    sync_schedule: str | None = _setting(
        "*/5 * * * *",
        "When amazon_orders_to_commerce runs: a cron expression in UTC, or `off` to run it only when it is triggered. "
        "It is the same for all components of Airflow.",
    )
    shipment_schedule: str | None = _setting(
        "*/10 * * * *",
        "When commerce_shipments_to_amazon runs: a cron expression in UTC, or `off` to run it only when it is "
        "triggered. It is the same for all components of Airflow.",
    )
    window_overlap: timedelta = _seconds(
        1800, "How far a window of Amazon's order listing reaches back into the one before."
    )
    window_safety_margin: timedelta = _seconds(
        180, "How far a window ends before Amazon's clock; Amazon refuses less than 120 and lists changes late."
    )
    window_minimum: timedelta = _seconds(60, "A window shorter than this is not requested; the next run covers it.")
    initial_lookback: timedelta = _days(
        30, "How far the first window reaches back, unless a store's import_since is earlier."
    )
    history_window: timedelta = _days(
        5,
        "How much of the history a window asks for at first, newest first; grows while Amazon lists little and shrinks "
        "when its page token dies.",
    )
    orders_per_page: int = _setting(100, "Orders per page of Amazon's listing, 1 to 100.")
    create_limit: int = _setting(500, "Commerce orders that one task creates at the most; the next run goes on.")
    create_connections: int = _setting(
        4,
        "Connections to one shop over which one task creates orders at the same time; fewer by itself while the shop "
        "throttles or slows down.",
    )
    create_time_budget: timedelta = _seconds(
        240, "How long one task creates Commerce orders for one account; the next run goes on."
    )
    in_doubt_gap: timedelta = _seconds(
        300,
        "Wait before an order in doubt is looked up again, and before one that failed is tried again; doubles with "
        "each failure.",
    )
    failed_attempts: int = _setting(
        8, "Failures of one order, while its shop answers, after which a person has to look."
    )
    refused_retry: timedelta = _seconds(900, "Wait before a refused order is tried again; doubles each time.")
    refused_attempts: int = _setting(
        5,
        "Refusals after which an order waits until it changes on Amazon, or until the cause is gone for another one.",
    )
    refused_probe_gap: timedelta = _seconds(
        3600, "Wait before one of the orders that were refused so often for the same cause is sent again, to try it."
    )
    breaker_history: timedelta = _days(
        30, "Days of history, up to 24 hours ago, from which the circuit breaker learns what is normal for a store."
    )
    breaker_history_orders: int = _setting(
        50,
        "Orders that this history must have before number, totals and blocked share of a store's orders are compared.",
    )
    breaker_history_minimum: timedelta = _days(
        7, "Days with orders that this history must have before these three are compared; the other checks need none."
    )
    breaker_minimum_orders: int = _setting(
        20,
        "Fewer orders never stop a store by their number, their typical total or the share that is blocked; fewer "
        "cancellations or credit memos in 24 hours stop none either.",
    )
    breaker_volume_factor: int = _setting(
        5,
        "More than this many times the busiest day of the history, in 24 hours, stop the creation of orders, the "
        "cancellations or the credit memos of a store; 0: never.",
    )
    breaker_price_factor: int = _setting(
        5,
        "A typical total this many times above or below the usual one stops a store; a single total as far outside the "
        "usual range stops its order only; 0: never.",
    )
    breaker_blocked_percent: int = _setting(
        50,
        "Percentage points by which the share of blocked orders exceeds the usual one when it stops a store; 0: never.",
    )
    breaker_refusals: int = _setting(
        10, "Orders refused by Commerce one after the other, without one that passes, that stop a store; 0: never."
    )
    breaker_totals: int = _setting(
        3,
        "Of the last 20 created orders of a store, those with another total in Commerce than on Amazon that stop it; "
        "0: never.",
    )
    approval_validity: timedelta = _seconds(
        86400, "How long an approval of stopped writes lasts: nothing of the kind is stopped again before."
    )
    approval_timeout: timedelta = _seconds(
        43200, "How long approve_held_writes waits for a person's answer; then the writes stay stopped."
    )
    shipment_verify_gap: timedelta = _seconds(
        180, "Wait before a confirmed package is read back from Amazon, whose reads lag two minutes."
    )
    shipment_verify_attempts: int = _setting(
        10, "Reads without the package after which it is sent again under the same number."
    )
    feed_poll_gap: timedelta = _seconds(120, "Wait before Amazon is asked again how far it is with a feed.")
    cancellation_confirm_wait: timedelta = _seconds(
        21600,
        "How long an order may stay open after Amazon's report without an error; then a person has to look.",
    )
    shipment_listing_orders: int = _setting(
        25,
        "Orders to read back from Amazon from which one listing of what changed is read first; 0: never.",
    )
    cancel_request_wait: timedelta = _seconds(
        14400,
        "How long a shipment that was made before the order was put on hold in Commerce waits to be confirmed when the "
        "buyer asked to cancel; 0: not at all.",
    )
    shipment_overlap: timedelta = _seconds(
        1800, "How far a search for changed shipments and orders in Commerce reaches back into the one before."
    )
    shipment_watch: timedelta = _days(
        14, "Days after Amazon's last change in which a finished order's tracks are still checked."
    )
    ship_by_risk: timedelta = _seconds(
        86400,
        "How long before its ship-by time an order that is not shipped counts as at risk (reporting.ship_by_risk).",
    )
    task_retries: int = _setting(3, "Retries of a task whose cause may pass.")
    retry_delay: timedelta = _seconds(
        30, "Wait before the first retry of a task; doubles each time. Throttling brings its own wait."
    )
    task_timeout: timedelta = _seconds(1800, "A task that runs longer is ended and retried.")
    http_connect_timeout: timedelta = _seconds(10, "Time-out for reaching a server.")
    http_read_timeout: timedelta = _seconds(60, "Time-out for the next bytes of an answer.")
    http_total_timeout: timedelta = _seconds(120, "Time-out for a request and the whole of its answer.")
    rate_limit_max_wait: timedelta = _seconds(
        5, "Longest wait for a request token inside a task; beyond it the task is retried later."
    )
    commerce_shipping_method: str = _setting("flatrate_flatrate", "Shipping method code of created Commerce orders.")
    exchange_rate_age: timedelta = _days(
        10, "How much older than the purchase an exchange rate may be, for stores with currency: convert."
    )
    placeholder_name: str = _setting("Amazon Customer", "Name on a Commerce order when Amazon withholds the buyer's.")
    placeholder_street: str = _setting("Withheld by Amazon", "Street on a Commerce order when Amazon withholds it.")
    placeholder_city: str = _setting("Withheld", "City on a Commerce order when Amazon withholds it.")
    placeholder_postcode: str = _setting("00000", "Postal code on a Commerce order when Amazon withholds it.")
    placeholder_phone: str = _setting("0000000000", "Phone on a Commerce order when Amazon withholds it.")
    placeholder_email_domain: str = _setting(
        "amazon.invalid", "Domain of <order id>@<domain>, the e-mail on a Commerce order when Amazon withholds it."
    )
    api_calls_retention: timedelta = _days(
        14, "Days for which each request to Amazon and Commerce is kept; older ones are summed up per hour."
    )
    api_calls_hourly_retention: timedelta = _days(730, "Days for which these hourly sums are kept.")
    ingest_retention: timedelta = _days(
        30, "Days for which the windows of Amazon's listing, once staged, and the reports of DAG runs are kept."
    )
    validation_retention: timedelta = _days(90, "Days for which the results of each validation rule are kept.")
    export_folder: str = _setting(
        "/opt/airflow/exports",
        "Absolute path of the folder to which export_reporting_tables writes Parquet files; a run can name another.",
    )
    recent_orders_page_size: int = _setting(60, "Rows on a page of Recent Orders.")
    statement_timeout: timedelta = _seconds(10, "Longest database statement of a page in the UI.")
    lock_timeout: timedelta = _seconds(
        60,
        "Longest wait for a lock in the orders database; then the task fails, names who holds locks, and is retried.",
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read all settings from `environment` (default: the process's). Raises MisconfiguredError naming a bad one.

        A variable with our prefix that is no setting is logged as a warning, once per process.
        """
        source = os.environ if environment is None else environment
        known = {variable(setting) for setting in fields(cls)}
        for name in sorted(source):
            if name.startswith(PREFIX) and name not in known and not name.startswith(_NOT_SETTINGS):
                _warn_unknown(name)
        values: dict[str, Any] = {}
        for setting in fields(cls):
            raw = source.get(variable(setting))
            if raw is not None and raw != "":
                values[setting.name] = _parsed(setting, raw)
        return cls(**values)

    def pii_key_list(self) -> list[str]:
        """The Fernet keys, newest first."""
        return [key.strip() for key in self.pii_keys.split(",") if key.strip()]


def variable(setting: Field[Any]) -> str:
    """The environment variable of a setting: its name with prefix and, for a duration, the unit."""
    unit = setting.metadata["unit"]
    return f"{PREFIX}{setting.name}{'_' + unit if unit else ''}".upper()


def shown_default(setting: Field[Any]) -> str:
    """The default as it would stand in the environment: a duration as a number of its unit."""
    if isinstance(setting.default, timedelta):
        return f"{setting.default / timedelta(**{setting.metadata['unit']: 1}):g}"
    return str(setting.default)


@cache  # DAG files and tasks read the settings again and again; one warning per name is enough
def _warn_unknown(name: str) -> None:
    import difflib

    known = [variable(setting).removeprefix(PREFIX) for setting in fields(Settings)]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
    hint = f"did you mean {PREFIX}{close[0]}?" if close else "see docs/configuration.md for the settings."
    log.warning("%s is not a setting and has no effect; %s", name, hint)


def _parsed(setting: Field[Any], raw: str) -> Any:
    name = variable(setting)
    if setting.name.endswith("_schedule"):
        return raw if raw == setting.default else _schedule(name, raw.strip())
    if isinstance(setting.default, str):
        return raw
    try:
        number = int(raw)
    except ValueError:
        raise MisconfiguredError(f"{name} must be a whole number, not {raw!r}. Resolution: correct it.") from None
    if number < 0:
        raise MisconfiguredError(f"{name} must not be negative. Resolution: correct it.")
    if not isinstance(setting.default, timedelta):
        return number
    try:
        return timedelta(**{setting.metadata["unit"]: number})
    except OverflowError:
        raise MisconfiguredError(f"{name} is too large. Resolution: correct it.") from None


def _schedule(name: str, expression: str) -> str | None:
    if expression == _NO_SCHEDULE:
        return None
    if expression in _SCHEDULE_PRESETS:
        return expression
    from croniter import croniter  # type: ignore[import-untyped]

    try:
        if len(expression.split()) != 5:
            raise ValueError("a cron expression has five fields")
        croniter(expression).get_next()  # also finds the day that never comes, 31 February
    except ValueError as error:
        raise MisconfiguredError(
            f"{name} is not a schedule: {expression!r} ({error}). Resolution: use a cron expression in UTC, "
            f"e.g. {'*/5 * * * *'!r}, one of {', '.join(_SCHEDULE_PRESETS)}, or {_NO_SCHEDULE}."
        ) from None
    return expression
