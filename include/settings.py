"""Every knob of the project: name, type, default, unit, meaning. Read once from the environment, `ORDERS_<NAME>` each.

Connections to Amazon, Commerce and the databases are Airflow connections, not settings (`docs/configuration.md`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from include.domain.errors import MisconfiguredError

PREFIX = "ORDERS_"


def _knob(default: Any, meaning: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"meaning": meaning, "secret": secret}, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """All settings. Names that end in _seconds or _days say their unit."""

    stores_file: str = _knob(str(Path(__file__).parent / "stores.yaml"), "The stores file.")
    pii_keys: str = _knob(
        "", "Fernet keys for personal data, newest first, separated by commas. Required.", secret=True
    )
    db_admin_url: str = _knob(
        "",
        "Address of the orders database as its administrator, for migrations; empty: the connection orders_db.",
        secret=True,
    )
    window_overlap_seconds: int = _knob(
        1800, "How far a window of Amazon's order listing reaches back into the one before."
    )
    window_safety_margin_seconds: int = _knob(
        180, "How far a window ends before Amazon's clock; Amazon refuses less than 120 and lists changes late."
    )
    window_minimum_seconds: int = _knob(60, "A window shorter than this is not asked for; the next run takes it.")
    initial_lookback_days: int = _knob(
        30, "How far the first window reaches back, unless a store's import_since is earlier."
    )
    orders_per_page: int = _knob(100, "Orders per page of Amazon's listing, 1 to 100.")
    create_limit: int = _knob(500, "Commerce orders that one task creates at the most; the next run goes on.")
    create_failure_limit: int = _knob(3, "Failures of Commerce in a row after which a task stops asking it.")
    in_doubt_gap_seconds: int = _knob(
        300, "Wait before an order whose creation has an unknown outcome is looked up again."
    )
    refused_retry_seconds: int = _knob(900, "Wait before a refused order is tried again; doubles each time.")
    refused_attempts: int = _knob(5, "Refusals after which an order is not tried again until it changes on Amazon.")
    shipment_verify_gap_seconds: int = _knob(
        180, "Wait before Amazon is asked whether it has a package; its reads lag two minutes."
    )
    shipment_verify_attempts: int = _knob(10, "Looks for a package after which it is sent again under the same number.")
    shipment_watch_days: int = _knob(
        14, "Days after Amazon's last change in which a finished order's tracks are still looked at."
    )
    task_retries: int = _knob(3, "Retries of a task whose cause may pass.")
    retry_delay_seconds: int = _knob(
        30, "Wait before the first retry of a task; doubles each time. Throttling brings its own wait."
    )
    task_timeout_seconds: int = _knob(1800, "A task that runs longer is ended and retried.")
    http_connect_timeout_seconds: int = _knob(10, "Time-out for reaching a server.")
    http_read_timeout_seconds: int = _knob(60, "Time-out for an answer.")
    rate_limit_max_wait_seconds: int = _knob(
        5, "Longest wait for a request token inside a task; beyond it the task is retried later."
    )
    commerce_shipping_method: str = _knob("flatrate_flatrate", "Shipping method code of created Commerce orders.")
    placeholder_name: str = _knob("Amazon Customer", "Name on a Commerce order when Amazon withholds the buyer's.")
    placeholder_street: str = _knob("Withheld by Amazon", "Street on a Commerce order when Amazon withholds it.")
    placeholder_city: str = _knob("Withheld", "City on a Commerce order when Amazon withholds it.")
    placeholder_postcode: str = _knob("00000", "Postal code on a Commerce order when Amazon withholds it.")
    placeholder_phone: str = _knob("0000000000", "Phone on a Commerce order when Amazon withholds it.")
    placeholder_email_domain: str = _knob(
        "amazon.invalid", "Domain of <order id>@<domain>, the e-mail on a Commerce order when Amazon withholds it."
    )
    recent_orders_page_size: int = _knob(60, "Rows on a page of Recent Orders.")
    statement_timeout_seconds: int = _knob(10, "Longest database statement of a page in the UI.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read all settings from `environment` (default: the process's). Raises MisconfiguredError naming a bad one."""
        source = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for knob in fields(cls):
            name = PREFIX + knob.name.upper()
            raw = source.get(name)
            if raw is None or raw == "":
                continue
            if isinstance(knob.default, int):
                try:
                    values[knob.name] = int(raw)
                except ValueError:
                    raise MisconfiguredError(f"{name} must be a whole number, not {raw!r}.") from None
                if values[knob.name] < 0:
                    raise MisconfiguredError(f"{name} must not be negative.")
            else:
                values[knob.name] = raw
        return cls(**values)

    def seconds(self, name: str) -> timedelta:
        """The setting `name`, which ends in _seconds, as a timedelta."""
        return timedelta(seconds=getattr(self, name))

    def pii_key_list(self) -> list[str]:
        """The Fernet keys, newest first."""
        return [key.strip() for key in self.pii_keys.split(",") if key.strip()]
