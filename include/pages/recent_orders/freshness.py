"""How alive the table is, in words: when orders were synced last, when next, and what is wrong with the runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, column, func, select, table

from include.pages.shell.formatting import age_text, date_text

# DAG -> what its runs are called on the page. The first one's facts stand in the header.
_NAMES = {
    "amazon_orders_to_commerce": "order sync",
    "commerce_shipments_to_amazon": "shipment sync",
    "orders_to_reporting": "update of this table",
}
_COLUMNS = (
    "dag_id",
    "last_success_at",
    "last_run_state",
    "last_run_started_at",
    "last_run_ended_at",
    "last_run_reason",
    "running_since",
    "next_run_at",
    "is_overdue",
)
_VIEW = table("data_freshness", *map(column, _COLUMNS), schema="reporting")
# Several rows of the view have the same DAG, with the same facts of it.
_SYNCS = select(func.now(), *(_VIEW.c[name] for name in _COLUMNS)).distinct()


@dataclass(frozen=True)
class Fact:
    """One fact of the header. `tone` is the color of its dot, if it has one; `note` is less important."""

    label: str
    text: str
    tone: str = ""
    note: str = ""
    moment: datetime | None = None


@dataclass(frozen=True)
class Trouble:
    """What is wrong with the runs of one DAG: a sentence, its reasons, and what to do unless the reasons say so."""

    title: str
    reasons: list[str]
    remedy: str = ""


@dataclass(frozen=True)
class Freshness:
    """What the page says about itself, at `now` (the database's clock, UTC)."""

    now: datetime
    facts: list[Fact]
    troubles: list[Trouble]


@dataclass(frozen=True)
class _Sync:
    dag_id: str
    last_success_at: datetime | None
    last_run_state: str | None
    last_run_started_at: datetime | None
    last_run_ended_at: datetime | None
    last_run_reason: str | None
    running_since: datetime | None
    next_run_at: datetime | None
    is_overdue: bool


def read_freshness(connection: Connection) -> Freshness:
    """Ask the view reporting.data_freshness, as the role orders_ui."""
    rows = connection.execute(_SYNCS).all()
    now = rows[0][0]
    syncs = {sync.dag_id: sync for sync in (_Sync(*row[1:]) for row in rows)}
    listed = [syncs[dag_id] for dag_id in _NAMES]
    return Freshness(now, _facts(listed[0], now), [trouble for sync in listed for trouble in _troubles(sync)])


def _facts(sync: _Sync, now: datetime) -> list[Fact]:
    last, ended = sync.last_success_at, sync.last_run_ended_at
    shown = {
        "success": ("Succeeded", "blue"),
        "failed": ("Failed", "orange"),
        "lost": ("Did not finish", "orange"),
        None: ("None yet", "gray"),
    }
    text, tone = shown[sync.last_run_state]
    if sync.running_since:
        upcoming = Fact("Next run", "Running now", "yellow", f"since {_time_text(sync.running_since, now)}")
    elif sync.is_overdue:
        upcoming = Fact("Next run", "Overdue", "orange", _since(sync.next_run_at, now))
    elif sync.next_run_at:
        upcoming = Fact("Next run", _time_text(sync.next_run_at, now), moment=sync.next_run_at)
    else:
        upcoming = Fact("Next run", "When triggered" if sync.last_run_state else "Unknown", "gray")
    return [
        Fact("Last successful sync", f"{date_text(last)} UTC", note=age_text(now - last), moment=last)
        if last
        else Fact("Last successful sync", "None yet", "gray"),
        Fact("Last run", text, tone, f"at {_time_text(ended, now)}" if ended else ""),
        upcoming,
    ]


def _troubles(sync: _Sync) -> list[Trouble]:
    name, found = _NAMES[sync.dag_id], []
    if sync.is_overdue:
        found.append(
            Trouble(
                f"The {name} is not running{_due(sync)}. This page may be out of date.",
                [],
                "Check in Airflow that the scheduler is running, and that the DAG "
                f"{sync.dag_id} is not paused and has no import error. Nothing is lost: the next run continues where "
                "the last one stopped.",
            )
        )
    if sync.last_run_state == "failed":
        found.append(
            Trouble(f"The last {name} failed{_on(sync.last_run_ended_at)}.", (sync.last_run_reason or "").splitlines())
        )
    # While it is overdue, the message above says the same.
    if sync.last_run_state == "lost" and not sync.is_overdue:
        started = _on(sync.last_run_started_at)
        found.append(
            Trouble(f"The {name} that started{started} did not finish.", (sync.last_run_reason or "").splitlines())
        )
    return found


def _due(sync: _Sync) -> str:
    if sync.last_run_state == "lost" and sync.last_run_started_at:
        return f": the run that started{_on(sync.last_run_started_at)} gives no sign of life"
    if sync.next_run_at:
        return f": a run was due{_on(sync.next_run_at)} and has not started"
    return ": orders were synced, but it has not started since"


def _on(moment: datetime | None) -> str:
    return f" on {date_text(moment)} UTC" if moment else ""


def _since(moment: datetime | None, now: datetime) -> str:
    return f"since {_time_text(moment, now)}" if moment else ""


def _time_text(moment: datetime, now: datetime) -> str:
    """The time, with the date unless it is within half a day."""
    if abs(moment - now) < timedelta(hours=12):
        return f"{moment.astimezone(UTC):%H:%M} UTC"
    return f"{date_text(moment)} UTC"
