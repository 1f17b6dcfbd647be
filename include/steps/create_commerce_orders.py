"""Creates the Commerce order of every promised Amazon order of one account, exactly once, and invoices it.

Per order: lock it, look for an existing Commerce order, commit that it is being sent, post once, commit the id.
An outcome that nobody saw is `in_doubt`: it is looked up after a pause, twice, before it may be posted again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import simplejson
from sqlalchemy import Connection, Engine, Row

from include.adapters.amazon.contacts import read_contact
from include.adapters.commerce.address import AddressPlaceholders
from include.adapters.commerce.catalog import store_view
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import CommerceOrder
from include.adapters.commerce.mapping import order_entity, scrub
from include.adapters.personal_data import PersonalDataCipher
from include.database.locks import autocommit, try_lock
from include.database.orders import load_orders
from include.database.statements import load_statements
from include.domain.blockers import BLOCKER_CODES
from include.domain.contacts import Contact
from include.domain.errors import (
    MalformedOrderError,
    MisconfiguredError,
    OutcomeUnknownError,
    RefusedError,
    RunIncompleteError,
    ThrottledError,
    UnavailableError,
)
from include.domain.orders import AMAZON
from include.domain.statuses import CANCELED_STATUSES
from include.domain.stores import Account
from include.outbox.order_work import OrderWork
from include.settings import Settings

log = logging.getLogger(__name__)


def run(
    engine: Engine,
    commerce: Callable[[str], CommerceClient],
    cipher: PersonalDataCipher,
    account: Account,
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    dag_run_id: str,
) -> dict[str, int]:
    """Advance every open outbox row of the account, oldest purchase first. Returns counts by outcome.

    `clock` gives the time (UTC). One order's refusal or doubt never holds another. Raises RunIncompleteError or
    ThrottledError when Commerce fails `create_failure_limit` times in a row or throttles, MisconfiguredError when a
    person must act; everything done before is committed. Orders that another worker holds are passed over.
    Only writer of ops.order_outbox from `sent` on.
    """
    statements = load_statements(__file__)
    stores = {store.name: store for store in account.stores}
    counts = {"created": 0, "adopted": 0, "finished": 0, "in_doubt": 0, "refused": 0, "passed_over": 0}
    failures = 0
    misconfigured: dict[str, MisconfiguredError] = {}  # by store name
    with autocommit(engine) as connection:
        open_orders = connection.execute(
            statements["open_orders"],
            {"account_name": account.name, "now": clock(), "create_limit": settings.create_limit},
        ).all()
        for order_id, store_name in open_orders:
            with try_lock(connection, "order", order_id) as got:
                if not got:
                    counts["passed_over"] += 1
                    continue
                row = connection.execute(statements["outbox_row"], {"amazon_order_id": order_id}).one()
                store = stores.get(store_name)
                if store is None or store_name in misconfigured:  # it left stores.yaml, or a person must act first
                    counts["passed_over"] += 1
                    continue
                work = OrderWork(
                    engine=engine,
                    lock_connection=connection,
                    client=commerce(row.commerce_connection),
                    store=store,
                    order=load_orders(connection, [order_id])[order_id],
                    contact=_contact(connection, cipher, order_id),
                    settings=settings,
                    clock=clock,
                    dag_run_id=dag_run_id,
                )
                try:
                    _advance(work, counts)
                    failures = 0
                except ThrottledError:
                    raise
                except RefusedError as error:  # of a look-up
                    _look_up_refused(work, error, counts)
                except MisconfiguredError as error:
                    log.error("create_commerce_orders: store=%s order=%s: %s", store_name, order_id, error)
                    misconfigured[store_name] = error
                    _say_why_not(work, error)
                except UnavailableError as error:
                    failures += 1
                    log.warning("create_commerce_orders: order=%s: %s", order_id, error)
                    if failures >= settings.create_failure_limit:
                        raise RunIncompleteError(
                            f"Commerce failed {failures} times in a row; account {account.name} has "
                            f"{len(open_orders)} open orders in this run, the last was {order_id}. "
                            "Resolution: none needed if the shop comes back; otherwise see docs/runbook.md."
                        ) from error
    log.info("create_commerce_orders: account=%s %s", account.name, " ".join(f"{k}={v}" for k, v in counts.items()))
    if misconfigured:
        raise next(iter(misconfigured.values()))
    if failures:
        raise RunIncompleteError(
            f"Commerce failed for {failures} orders of account {account.name} at the end of the run."
        )
    return counts


def _contact(connection: Connection, cipher: PersonalDataCipher, order_id: str) -> Contact:
    token = connection.execute(load_statements(__file__)["contact"], {"amazon_order_id": order_id}).scalar_one_or_none()
    return read_contact(cipher.decrypt(bytes(token))) if token is not None else Contact()


def _advance(work: OrderWork, counts: dict[str, int]) -> None:
    """Take one order as far as it goes now."""
    row = work.row()
    if row.state == "sent":
        # The worker that sent it is gone, or we would not hold the order's lock.
        _doubt(work, "interrupted", "The task ended before Commerce's answer was seen.")
        counts["in_doubt"] += 1
        return
    if row.state in ("planned", "in_doubt"):
        if work.order.amazon_status in CANCELED_STATUSES and row.state != "in_doubt":
            with work.engine.begin() as connection:
                work.execute(connection, "withdraw")
                work.execute(connection, "close_episodes", closed_by_code="canceled")
                work.move(connection, "canceled", "Amazon canceled the order before a Commerce order existed.")
            return
        found = _look_up(work)
        if found is not None:
            _link(work, found, "adopted")
            counts["adopted"] += 1
        elif row.state == "in_doubt":
            _not_found(work, row)
            counts["in_doubt"] += 1
            return
        elif not _create(work, counts):
            return
    row = work.row()
    if row.state in ("created", "adopted") and row.finished_at is None and _finish(work, row):
        counts["finished"] += 1


def _look_up(work: OrderWork) -> CommerceOrder | None:
    """The Commerce order that exists for this Amazon order already, if any. Looks, never writes."""
    found = work.client.find_orders(ext_order_id=work.order.amazon_order_id)
    if len(found) > 1:
        log.error(
            "create_commerce_orders: order=%s has %d Commerce orders (%s). Resolution: cancel all but %s in Commerce.",
            work.order.amazon_order_id,
            len(found),
            ", ".join(order.number for order in found),
            found[0].number,
        )
    return found[0] if found else None


def _create(work: OrderWork, counts: dict[str, int]) -> bool:
    """Post the order once. True when it exists afterwards for sure; otherwise the row says what is known."""
    try:
        entity = _entity(work)
    except MalformedOrderError as error:
        _reject(work, RefusedError(str(error), code="incomplete_order", reason="; ".join(error.findings)), counts)
        return False
    sha256 = hashlib.sha256(simplejson.dumps(entity, use_decimal=True, sort_keys=True).encode()).hexdigest()
    # On the connection that holds the order's lock: if that session is lost, so is the lock, and nothing may be sent.
    if work.execute(work.lock_connection, "mark_sent", request_sha256=sha256).one_or_none() is None:
        return False
    try:
        created = work.client.create_order(
            work.store.commerce_store_view, entity, scrub=lambda text: scrub(text, work.contact)
        )
    except OutcomeUnknownError as error:
        _doubt(work, "unknown_outcome", str(error))
        counts["in_doubt"] += 1
        raise
    except (UnavailableError, MisconfiguredError) as error:  # nothing was done, and Commerce or the network said so
        work.write("mark_planned", "ready", f"Not created yet: {error}", code="unavailable", error=str(error)[:500])
        raise
    except RefusedError as error:
        # A number that is taken: by this order, sent earlier, or by a stranger. Looking tells which.
        found = _look_up(work) if error.code == "duplicate" else None
        if found is None:
            _reject(work, error, counts)
            return False
        _link(work, found, "adopted")
        counts["adopted"] += 1
        return True
    _link(work, created, "created")
    counts["created"] += 1
    return True


def _entity(work: OrderWork) -> dict[str, Any]:
    settings, store = work.settings, work.store
    view = store_view(work.client, store)
    skus = {store.catalog_sku(line.seller_sku) for line in work.order.lines}
    products = work.client.products(store.commerce_store_view, skus)
    missing = sorted(skus - set(products))
    if missing:
        raise MalformedOrderError(
            "A product left the catalog after validation.", [f"not in the catalog: {', '.join(missing)}"]
        )
    customer_id = None
    if store.orders.fixed_customer_email is not None:
        customer_id = work.client.customer_id(store.orders.fixed_customer_email, view.website_id)
        if customer_id is None:
            raise MisconfiguredError(
                f"Store {store.name}: the shop has no customer with the address given under customer: fixed. "
                "Resolution: create the customer in the store's website, or correct stores.yaml."
            )
    return order_entity(
        work.order,
        work.contact,
        store,
        view,
        products,
        shipping_method=settings.commerce_shipping_method,
        placeholder=AddressPlaceholders(
            name=settings.placeholder_name,
            street=settings.placeholder_street,
            city=settings.placeholder_city,
            postcode=settings.placeholder_postcode,
            phone=settings.placeholder_phone,
            email_domain=settings.placeholder_email_domain,
        ),
        customer_id=customer_id,
    )


def _link(work: OrderWork, found: CommerceOrder, state: str) -> None:
    """Commit the Commerce order's id: from here on the order can never be posted again."""
    code = error = None
    total = work.order.grand_total_amount
    if state == "adopted" and total is not None and found.grand_total != total:
        code = "total_differs"
        said = f"{found.grand_total.normalize():f}, Amazon says {total.normalize():f}"
        error = f"The Commerce order {found.number} has the total {said}."
    with work.engine.begin() as connection:
        work.execute(
            connection,
            "link",
            state=state,
            commerce_order_id=found.order_id,
            commerce_order_number=found.number,
            code=code,
            error=error,
        )
        work.execute(connection, "close_episodes", closed_by_code="solved")
        work.move(connection, "created", error or f"Created in Commerce as {found.number}.")
        # Last: stage_amazon_orders locks orders before lines, too; the other way round the two would deadlock.
        for amazon_item_id, commerce_item_id in found.item_ids.items():
            work.execute(connection, "link_item", amazon_item_id=amazon_item_id, commerce_item_id=commerce_item_id)


def _doubt(work: OrderWork, code: str, error: str) -> None:
    work.write(
        "mark_in_doubt",
        "in_doubt",
        "Sent to Commerce, but the answer was lost; it will be looked up, not sent again. Nothing to do.",
        next_attempt_at=work.clock() + work.settings.in_doubt_gap,
        not_found_count=0,
        code=code,
        error=error[:500],
    )


def _not_found(work: OrderWork, row: Row[Any]) -> None:
    """Looked for and not there. Only the second time in a row allows another post."""
    if row.not_found_count + 1 >= 2:
        reason = "Commerce does not have the order, looked up twice; it is sent again."
        work.write("mark_planned", "ready", reason, code=row.last_error_code, error=row.last_error)
        return
    work.write(
        "mark_in_doubt",
        next_attempt_at=work.clock() + work.settings.in_doubt_gap,
        not_found_count=row.not_found_count + 1,
        code=row.last_error_code,
        error=row.last_error,
    )


def _reject(work: OrderWork, error: RefusedError, counts: dict[str, int]) -> None:
    """Commerce refused: hold this order with Commerce's reason; try again some times, at growing distances."""
    refusals = work.row().refusals + 1
    wait = work.settings.refused_retry * 2 ** min(refusals - 1, 6)
    is_last = refusals >= work.settings.refused_attempts
    blocker = BLOCKER_CODES["rejected_by_commerce"]
    message = blocker.sentence.format(reason=error.reason or error.code)[:400]
    remedy = blocker.remedy
    if is_last:
        remedy = f"Refused {refusals} times; it is tried again when it changes on Amazon, see docs/runbook.md."
    with work.engine.begin() as connection:
        work.execute(
            connection,
            "mark_rejected",
            next_attempt_at=None if is_last else work.clock() + wait,
            code=error.code,
            error=message,
            refusals=refusals,
        )
        work.execute(connection, "open_rejection", message=message, remedy=remedy)
        work.move(connection, "rejected", message)
    counts["refused"] += 1
    order_id = work.order.amazon_order_id
    log.warning("create_commerce_orders: order=%s refused (%s), time %d", order_id, error.code, refusals)


def _finish(work: OrderWork, row: Row[Any]) -> bool:
    """Invoice the linked order and give it its final status; each part is looked at before it is done.

    An order that Amazon canceled meanwhile stays without invoice: a plain cancellation in Commerce ends it.
    """
    status = work.store.orders.processing_status
    try:
        if work.order.amazon_status in CANCELED_STATUSES:
            work.write("mark_finished")
            return True
        found = work.client.order(row.commerce_order_id)
        if row.invoiced_at is None:
            if not found.is_invoiced:
                found = _invoice(work, found)
            work.write("mark_invoiced")
        if work.order.fulfilled_by == AMAZON:
            if found.state != "complete":
                work.client.set_status(found, state="complete", status="complete")
        elif status and found.state == "processing" and found.status != status:
            work.client.set_status(found, state="processing", status=status)
    except RefusedError as error:
        reason = scrub(error.reason, work.contact)
        _postpone(work, row, error.code, f"its invoice was refused: {reason}")
        return False
    except UnavailableError:
        _postpone(work, row, "unavailable", "Commerce failed when it was to be invoiced.")
        raise
    is_total_wrong = row.last_error_code == "total_differs"
    work.write("mark_finished", *(() if is_total_wrong else ("created", f"Created in Commerce as {found.number}.")))
    return True


def _postpone(work: OrderWork, row: Row[Any], code: str, cause: str) -> None:
    """The order exists and is not finished: say so, and let other orders go first for a while."""
    message = f"The Commerce order {row.commerce_order_number} exists, but {cause}"
    if row.last_error_code == "total_differs":  # said until a person has looked
        code, message = row.last_error_code, f"{row.last_error} {message}"
    wait = work.settings.refused_retry
    work.write(
        "mark_unfinished", "created", message, next_attempt_at=work.clock() + wait, code=code, error=message[:500]
    )
    log.warning("create_commerce_orders: order=%s not finished (%s)", work.order.amazon_order_id, code)


def _say_why_not(work: OrderWork, error: MisconfiguredError) -> None:
    if work.row().state == "planned":
        with work.engine.begin() as connection:
            work.move(connection, "ready", f"Not created yet: {error}")


def _look_up_refused(work: OrderWork, error: RefusedError, counts: dict[str, int]) -> None:
    """Commerce refused to look: an order that was not sent is held; a doubt stays a doubt, for later."""
    row = work.row()
    if row.state == "planned":
        _reject(work, error, counts)
    elif row.state == "in_doubt":
        next_attempt_at = work.clock() + work.settings.in_doubt_gap
        work.write(
            "mark_in_doubt",
            next_attempt_at=next_attempt_at,
            not_found_count=row.not_found_count,
            code=error.code,
            error=str(error)[:500],
        )
        counts["in_doubt"] += 1


def _invoice(work: OrderWork, found: CommerceOrder) -> CommerceOrder:
    """Invoice once; a refusal of an order that turns out to be invoiced is success."""
    try:
        work.client.invoice(found.order_id)
    except RefusedError:
        after = work.client.order(found.order_id)
        if not after.is_invoiced:
            raise
        return after
    return work.client.order(found.order_id)
