"""Creates the Commerce order of every planned Amazon order of one account, exactly once, and invoices it.

Afterwards it carries out in Commerce what Amazon has changed on orders that were created before.

Per order: lock it, look for an existing Commerce order, commit that it is being sent, post once, commit the id.
An outcome that nobody saw is *in doubt*: it is looked up after a pause, twice, before the order may be posted again.
Several orders are created at the same time, each under its lock; what can be asked for many of them is asked at once.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from include.adapters.amazon.contacts import load_contact
from include.adapters.api_calls import throttled_since
from include.adapters.commerce.address import AddressPlaceholders, address_problem, is_withheld, order_addresses
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import CommerceOrder
from include.adapters.commerce.search import BATCH_SIZE
from include.adapters.personal_data import PersonalDataCipher
from include.database.isolation import describe
from include.database.orders import load_orders
from include.database.tables import stores as stores_table
from include.domain.errors import (
    MalformedOrderError,
    MisconfiguredError,
    OrdersError,
    UnavailableError,
    UndecryptableError,
)
from include.domain.marketplaces import MARKETPLACES
from include.domain.stores import Store, Stores
from include.outbox.address_changes import NewAddresses
from include.outbox.dry_run import change_result, results_to_prepare
from include.outbox.known_catalog import KnownCatalog
from include.outbox.look_ahead import LookAhead, LookAheadError, linked_ids, never_sent
from include.outbox.order_changes import carry_out_changes
from include.outbox.order_creation import INVOICED, OrderCreation
from include.outbox.order_outbox import DueOrder, OrderOutbox, due_orders
from include.outbox.pace import Pace
from include.outbox.work_loop import LoopReport, Outcome, summary, work_through
from include.outbox.write_holds import WriteHolds, stop_of_order, stopped_writes
from include.settings import Settings

log = logging.getLogger(__name__)

Commerce = Callable[[str], CommerceClient]

_NONE: Mapping[str, CommerceOrder] = MappingProxyType({})
_SETTLING = timedelta(seconds=30)  # for orders that need no more than a look, and for changes, beyond the time budget
_SYSTEMATIC = 4  # so many orders in a row that fail for reasons that nobody foresaw point to ourselves
_REMEMBERED = timedelta(minutes=10)  # how long a shop that answered 429 is approached with one order at a time


def run(
    engine: Engine,
    commerce: Commerce,
    cipher: PersonalDataCipher,
    account_name: str,
    stores: Stores,
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    dag_run_id: str,
    is_dry_run: bool = False,
) -> dict[str, int]:
    """Advance the account's open rows, oldest purchase first, within the time budget. Returns counts by outcome.

    `commerce` gives the client of a Commerce connection, `clock` the time (UTC). The account may have left stores.yaml:
    then doubts are resolved and linked orders finished, and nothing is created. One order's refusal, doubt or failure
    never stops another. Raises RunIncompleteError, ThrottledError or MisconfiguredError when a shop does not answer,
    throttles, or a person must act; everything else is done before. A person must act, too, when the breaker has
    stopped a store (`include/outbox/write_holds.py`). With `is_dry_run` the orders that validation would create are
    only prepared: Commerce is read, nothing is sent, and ops.dry_run_results says what would be done.
    """
    outbox = OrderOutbox(engine, settings, clock=clock, dag_run_id=dag_run_id)
    holds = WriteHolds(engine, settings, clock=clock, dag_run_id=dag_run_id)
    catalog = KnownCatalog(clock, dag_run_id)
    with engine.connect() as connection:
        rows = due_orders(connection, account_name, clock())
        ahead = LookAhead(never_sent(connection, rows))
        paces = _paces(connection, rows, settings, clock())
    commerce = _asked_here(commerce, paces, settings.create_connections)
    deadline = clock() + settings.create_time_budget
    by_name = {store.name: store for store in stores.all()}
    invoiced: list[DueOrder] = []
    undecryptable: dict[str, OrdersError] = {}  # of single orders: the others of their stores go on

    def creation_of(session: Connection, order_id: str, store: Store | None, shop: str) -> OrderCreation:
        contact, contact_loaded_at = load_contact(session, cipher, order_id)
        order = load_orders(session, [order_id])[order_id]
        return OrderCreation(
            outbox=outbox,
            session=session,
            client=commerce(shop),
            catalog=catalog,
            ahead=ahead,
            store=store and store.fulfilled_by(order.fulfilled_by),
            order=order,
            contact=contact,
            contact_loaded_at=contact_loaded_at,
            settings=settings,
        )

    if is_dry_run:
        return _rehearse(engine, creation_of, by_name, account_name, dag_run_id)

    def attempt(session: Connection, due: DueOrder, shown: Mapping[str, CommerceOrder] = _NONE) -> Outcome:
        row = outbox.read(session, due.amazon_order_id)
        if row.state == "planned" and holds.is_order_stopped(due.amazon_order_id, row.store_name):
            return Outcome("stopped")
        try:
            store = by_name.get(due.store_name)
            outcome = creation_of(session, due.amazon_order_id, store, row.commerce_connection).advance(
                row, shown.get(due.amazon_order_id)
            )
            if INVOICED in (outcome.counted_as, outcome.then):
                invoiced.append(due)
            return outcome
        except UndecryptableError as error:
            undecryptable["personal data"] = error
            outbox.explain(due.amazon_order_id, str(error))
            return Outcome("passed_over")
        except MisconfiguredError as error:
            outbox.explain(due.amazon_order_id, str(error))
            return Outcome("passed_over", error)
        except UnavailableError as error:
            return Outcome("failed", error, is_shared=isinstance(error, LookAheadError))

    attempt = _isolating(attempt, outbox)

    def put_back(due: DueOrder, error: UnavailableError) -> None:
        with engine.connect() as connection:
            row = outbox.read(connection, due.amazon_order_id)
        outbox.put_back(row, str(error))

    def work(
        rows: Sequence[DueOrder], attempt: Callable[[Connection, DueOrder], Outcome], time_budget: timedelta
    ) -> LoopReport:
        return work_through(
            engine,
            rows,
            attempt,
            is_answering=lambda due: _is_answering(commerce, due.system),
            put_back=put_back,
            clock=clock,
            time_budget=time_budget,
            limit=settings.create_limit,
            paces=paces,
            longest_pause=settings.rate_limit_max_wait,
        )

    holds.check_orders([row.amazon_order_id for row in rows])
    rows = [row for row in rows if not holds.is_in_stopped_store(row.amazon_order_id)]
    report = work(rows, attempt, settings.create_time_budget)
    settled_by = clock() + _SETTLING
    for batch in _batches(invoiced, besides=report.stopped):
        try:
            shown = _shown(engine, commerce(batch[0].system), batch)
        except OrdersError as error:  # the next try looks at each by itself
            report.stopped[batch[0].system] = error
            continue
        report.add(work(batch, partial(attempt, shown=shown), max(settled_by - clock(), timedelta())))
    changes = carry_out_changes(
        engine,
        commerce,
        account_name,
        settings,
        addresses=lambda session, order_id: _addresses(session, cipher, order_id, settings),
        is_answering=lambda system: _is_answering(commerce, system),
        clock=clock,
        time_budget=max(deadline - clock(), _SETTLING),
        dag_run_id=dag_run_id,
    )
    report.counts.update(changes.counts)
    report.stopped.update(changes.stopped | undecryptable)
    with engine.connect() as connection:
        report.stopped.update(_unvalidated_stores(connection, account_name, dag_run_id))
        report.stopped.update(stopped_writes(connection, account_name))
    log.info("create_commerce_orders: account=%s %s", account_name, summary(report.counts))
    report.raise_if_incomplete(f"create_commerce_orders of account {account_name}")
    return dict(report.counts)


def _isolating(attempt: Callable[..., Outcome], outbox: OrderOutbox) -> Callable[..., Outcome]:
    """The same attempt, in which an error that nobody foresaw puts back its own order only. Threads share it.

    Raises it when it hits one order after the other: then we are at fault.
    """
    in_a_row: list[str] = []

    def isolated(session: Connection, due: DueOrder, **options: Any) -> Outcome:
        try:
            outcome = attempt(session, due, **options)
        except (OrdersError, SQLAlchemyError):
            raise
        except Exception as error:
            in_a_row.append(due.amazon_order_id)
            if len(in_a_row) >= _SYSTEMATIC:
                raise
            # Without the error's text, which may be personal.
            cause = f"{describe(error)} while it was created. Resolution: report it to the maintainers."
            log.error("create_commerce_orders: order=%s: %s", due.amazon_order_id, cause)
            outbox.put_back(outbox.read(session, due.amazon_order_id), cause)
            return Outcome("failed")
        in_a_row.clear()
        return outcome

    return isolated


def _asked_here(commerce: Commerce, names: Iterable[str], connections: int) -> Commerce:
    """The same clients, asked for now: Airflow is asked by one thread only. Each uses so many connections."""
    known: dict[str, CommerceClient | OrdersError] = {}
    for name in names:
        try:
            made = commerce(name)
            made.use_connections(connections)
            known[name] = made
        except OrdersError as error:
            known[name] = error

    def client(name: str) -> CommerceClient:
        found = known[name] if name in known else commerce(name)
        if isinstance(found, OrdersError):
            raise found
        return found

    return client


def _paces(connection: Connection, rows: Iterable[DueOrder], settings: Settings, now: datetime) -> dict[str, Pace]:
    """How many orders of each shop are worked on at the same time: one to begin with, if it has throttled lately.

    Half as many again as there are connections, so that these do not wait for our own work.
    """
    most = settings.create_connections * 3 // 2
    throttled = throttled_since(connection, now - _REMEMBERED)
    return {shop: Pace(most, 1 if shop in throttled else None) for shop in {row.system for row in rows}}


def _batches(rows: Iterable[DueOrder], *, besides: Collection[str]) -> Iterator[list[DueOrder]]:
    """The rows of one shop each, as many as one request can ask for."""
    by_shop: dict[str, list[DueOrder]] = defaultdict(list)
    for row in rows:
        if row.system not in besides:
            by_shop[row.system].append(row)
    for of_shop in by_shop.values():
        for start in range(0, len(of_shop), BATCH_SIZE):
            yield of_shop[start : start + BATCH_SIZE]


def _shown(engine: Engine, client: CommerceClient, rows: Sequence[DueOrder]) -> dict[str, CommerceOrder]:
    """The linked Commerce orders of these rows as the shop shows them now, by Amazon order id."""
    with engine.connect() as connection:
        ids = linked_ids(connection, [row.amazon_order_id for row in rows])
    found = client.orders_by_id(ids.values())
    return {order_id: found[linked] for order_id, linked in ids.items() if linked in found}


def _rehearse(
    engine: Engine,
    creation_of: Callable[[Connection, str, Store, str], OrderCreation],
    by_name: Mapping[str, Store],
    account_name: str,
    dag_run_id: str,
) -> dict[str, int]:
    """Prepare every order that would be created, up to the moment before it is sent."""
    with engine.connect() as connection:
        results = results_to_prepare(connection, account_name, dag_run_id)
        for result in results:
            store = by_name.get(result.store_name or "")
            if store is None:
                continue
            try:
                stopped = stop_of_order(connection, result.amazon_order_id, store.name)
                creation = creation_of(connection, result.amazon_order_id, store, store.commerce_connection)
                prepared_for = creation.store or store
                action, reason = creation.prepare(prepared_for) if stopped is None else ("wait", stopped)
            except MalformedOrderError as error:
                action, reason = "block", f"The order cannot be created: {'; '.join(error.findings)}."
            except OrdersError as error:
                action, reason = "wait", str(error)
            if action != result.action:
                change_result(engine, result, action, reason, dag_run_id=dag_run_id)
    log.info("create_commerce_orders: dry run, account=%s prepared=%d, nothing was sent", account_name, len(results))
    return {"prepared": len(results)}


def _is_answering(commerce: Commerce, connection_name: str) -> bool:
    try:
        commerce(connection_name).probe()
    except OrdersError:
        return False
    return True


def _unvalidated_stores(connection: Connection, account_name: str, dag_run_id: str) -> dict[str, OrdersError]:
    """Stores of the account whose shop could not be asked by this run's validation, and why: the run must be red."""
    query = select(stores_table.c.store_name, stores_table.c.commerce_problem).where(
        stores_table.c.account_name == account_name, stores_table.c.commerce_problem_dag_run_id == dag_run_id
    )
    return {row.store_name: MisconfiguredError(row.commerce_problem) for row in connection.execute(query)}


def _addresses(
    connection: Connection, cipher: PersonalDataCipher, order_id: str, settings: Settings
) -> NewAddresses | None:
    """What the addresses of a Commerce order are to be; None while Amazon gives no address."""
    contact, _ = load_contact(connection, cipher, order_id)
    marketplace_id = load_orders(connection, [order_id])[order_id].marketplace_id
    if is_withheld(contact) or marketplace_id is None:
        return None
    placeholders = AddressPlaceholders.from_settings(settings)
    by_type = order_addresses(contact, order_id, MARKETPLACES[marketplace_id], placeholders)
    return NewAddresses(by_type, list(contact.texts()), address_problem(contact))
