"""Carries out what a person decided about one order: try it again, correct it, leave it out, or take that back.

Nothing is sent from here: the next run of `amazon_orders_to_commerce` does what has become possible.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, select
from sqlalchemy.dialects.postgresql import insert

from include.adapters.amazon.contacts import load_contact
from include.adapters.personal_data import PersonalDataCipher
from include.database.locks import autocommit, try_lock
from include.database.statements import load_statements
from include.database.tables import order_corrections, order_repairs
from include.database.tables.repairs import REPAIR_ACTIONS
from include.domain.contacts import ADDRESS_FIELDS, Contact, quotes
from include.domain.errors import MisconfiguredError, UnavailableError
from include.outbox.bad_addresses import note_addresses
from include.outbox.blocker_episodes import close_episodes
from include.outbox.order_outbox import withdraw_orders
from include.outbox.pipeline_state import move_orders
from include.outbox.request_params import refused_param

log = logging.getLogger(__name__)

# The pipeline states from which the next validation takes an order up again.
_TO_CHECK_AGAIN = ("new", "blocked", "ready", "rejected", "needs_attention")


@dataclass(frozen=True, repr=False)
class Repair:
    """What a person wants with an order. `address` is personal data, so printing shows nothing."""

    amazon_order_id: str
    action: str
    comment: str
    address: Mapping[str, str]
    sku_map: Mapping[str, str]


def read_repair(params: Mapping[str, Any]) -> Repair:
    """The repair that the params of a DAG run describe. Raises MisconfiguredError naming the param and why."""
    repair = Repair(
        amazon_order_id=_text(params, "amazon_order_id"),
        action=_text(params, "action"),
        comment=_text(params, "comment"),
        address=_texts(params, "address"),
        sku_map=_texts(params, "sku_map"),
    )
    if repair.action not in REPAIR_ACTIONS:
        raise refused_param("action", f"is {repair.action!r}", f"use one of {', '.join(REPAIR_ACTIONS)}")
    if repair.action != "correct":
        for name, value in (("address", repair.address), ("sku_map", repair.sku_map)):
            if value:
                raise refused_param(name, f"does not go with the action {repair.action}", "use the action correct")
    elif not repair.address and not repair.sku_map:
        raise refused_param("action", "is correct, but nothing is to be corrected", "fill in address or sku_map")
    if unknown := sorted(set(repair.address) - set(ADDRESS_FIELDS)):
        raise refused_param(
            "address", f"has the unknown fields {', '.join(unknown)}", f"use {', '.join(ADDRESS_FIELDS)}"
        )
    code = repair.address.get("country_code")
    if code is not None and not (len(code) == 2 and code.isascii() and code.isupper()):
        raise refused_param(
            "address", "has a country_code that is no country", "use the two capital letters of ISO 3166"
        )
    return repair


def run(
    engine: Engine,
    cipher: PersonalDataCipher,
    repair: Repair,
    *,
    is_dry_run: bool,
    repaired_by: str,
    now: datetime,
    dag_run_id: str,
) -> dict[str, str]:
    """Carry the repair out in one transaction, and record who and why. Returns the order id, the action, the outcome.

    Repeated by the same DAG run it changes nothing more. With `is_dry_run` nothing is written. Raises
    MisconfiguredError when the order is unknown or in no state for the action, UnavailableError while it is being
    created.
    """
    with autocommit(engine) as session, try_lock(session, "order", repair.amazon_order_id) as got:
        if not got:
            raise UnavailableError(f"Order {repair.amazon_order_id} is being sent to Commerce at this moment.")
        with engine.connect() as connection:
            work = _Work(connection, repair, repaired_by, now, dag_run_id)
            outcome = work.outcome_before()
            if outcome is None:
                contact, _ = load_contact(connection, cipher, repair.amazon_order_id)
                work.check(contact)
                outcome = work.carry_out(cipher)
                work.record(outcome)
            if not is_dry_run:
                connection.commit()
    prefix = "dry run, nothing was changed: " if is_dry_run else ""
    log.info(
        "repair_amazon_order: order=%s %s by %s: %s%s",
        repair.amazon_order_id,
        repair.action,
        repaired_by,
        prefix,
        outcome,
    )
    return {"amazon_order_id": repair.amazon_order_id, "action": repair.action, "outcome": prefix + outcome}


class _Work:
    """One repair, in its transaction."""

    def __init__(
        self, connection: Connection, repair: Repair, repaired_by: str, now: datetime, dag_run_id: str
    ) -> None:
        self.connection = connection
        self.repair = repair
        self.repaired_by = repaired_by
        self.now = now
        self.dag_run_id = dag_run_id
        self.order_id = repair.amazon_order_id
        self.row = self._read()

    def _read(self) -> Row[Any]:
        statement = load_statements(__file__)["order_to_repair"]
        row = self.connection.execute(statement, {"order_id": self.order_id}).one_or_none()
        if row is None:
            raise refused_param("amazon_order_id", f"names {self.order_id}, which is not stored", "check the order id")
        return row

    def outcome_before(self) -> str | None:
        """What this DAG run has done already: a task that is repeated changes nothing more."""
        key = (order_repairs.c.amazon_order_id == self.order_id) & (order_repairs.c.dag_run_id == self.dag_run_id)
        return self.connection.execute(select(order_repairs.c.outcome).where(key)).scalar_one_or_none()

    def check(self, contact: Contact) -> None:
        """Raise MisconfiguredError when the order is in no state for the action."""
        if quotes(self.repair.comment, [*contact.texts(), *self.repair.address.values()]):
            raise refused_param(
                "comment", "quotes the buyer's data, which is kept encrypted only", "say why without name or address"
            )
        if unknown := sorted(set(self.repair.sku_map) - set(self.row.seller_skus)):
            known = ", ".join(self.row.seller_skus)
            raise refused_param("sku_map", f"names {', '.join(unknown)}, which the order does not have", f"use {known}")
        refusal = {
            "retry": self._nothing_to_retry,
            "correct": self._is_in_commerce,
            "skip": self._is_in_commerce,
            "release": self._not_skipped,
        }[self.repair.action]()
        if refusal is not None:
            raise MisconfiguredError(f"Order {self.order_id} cannot take the action {self.repair.action}: {refusal}")

    def _nothing_to_retry(self) -> str | None:
        row = self.row
        if row.skip_reason is not None:
            return "it was skipped. Resolution: use release."
        if row.is_finished and not row.change_count:
            return f"Commerce order {row.commerce_order_number} exists, finished. Resolution: none needed."
        if row.outbox_state in ("sent", "in_doubt") and row.needs_attention_at is None:
            return (
                "it was sent to Commerce and the answer was lost. Resolution: wait; it is looked up before it is sent "
                "again."
            )
        if row.outbox_state is None and row.pipeline_state not in _TO_CHECK_AGAIN:
            return f"nothing was tried for it yet. {row.state_reason or ''} Resolution: none needed."
        return None

    def _is_in_commerce(self) -> str | None:
        row = self.row
        if row.commerce_order_number is not None:
            return f"Commerce order {row.commerce_order_number} exists. Resolution: correct or cancel it in Commerce."
        if row.outbox_state in ("sent", "in_doubt"):
            return "Commerce may have it already. Resolution: wait until it has been looked up."
        if row.pipeline_state == "canceled":
            return "Amazon canceled it, so nothing will be created. Resolution: none needed."
        return None

    def _not_skipped(self) -> str | None:
        return None if self.row.skip_reason is not None else "it is not skipped. Resolution: use retry."

    def carry_out(self, cipher: PersonalDataCipher) -> str:
        """Do it, and say what it leads to."""
        action = self.repair.action
        if action == "skip":
            return self._skip()
        if action == "release":
            self._set_skip_reason(None)
            return self._check_again("Released")
        if action == "correct":
            return self._correct(cipher)
        for name in ("try_creation_again", "try_changes_again"):
            self._execute(name)
        if self.row.outbox_state in (None, "planned", "rejected", "canceled"):
            return self._check_again("Tried again")
        if self.row.outbox_state in ("sent", "in_doubt"):
            reason = "Looked up again in Commerce by the next run, as a person asked."
            self._move("in_doubt", reason)
            return reason
        return "The next run goes on with it in Commerce."

    def _skip(self) -> str:
        reason = (
            f"Skipped by {self.repaired_by} on {self.now:%Y-%m-%d}; no Commerce order is created for it. "
            "Manage it in Seller Central, or release it with repair_amazon_order."
        )
        self._set_skip_reason(reason)
        stamp: dict[str, Any] = {"now": self.now, "dag_run_id": self.dag_run_id}
        withdraw_orders(self.connection, [self.order_id], **stamp)
        close_episodes(self.connection, {self.order_id: "settings_changed"}, **stamp)
        self._move("not_imported", reason)
        return reason

    def _correct(self, cipher: PersonalDataCipher) -> str:
        if self.repair.address:
            self._keep_address(cipher)
        if self.repair.sku_map:
            self._execute("map_skus", sku_map=json.dumps(dict(self.repair.sku_map)))
        if self.row.skip_reason is not None or self.row.pipeline_state not in _TO_CHECK_AGAIN:
            return "Corrected; it counts when the order is created."
        self._execute("try_creation_again")
        return self._check_again("Corrected")

    def _keep_address(self, cipher: PersonalDataCipher) -> None:
        known = select(order_corrections.c.address_encrypted).where(
            order_corrections.c.amazon_order_id == self.order_id
        )
        token = self.connection.execute(known).scalar_one_or_none()
        address = (cipher.decrypt(bytes(token)) if token is not None else {}) | dict(self.repair.address)
        values = {"address_encrypted": cipher.encrypt(address), "corrected_at": self.now}
        statement = insert(order_corrections).values(amazon_order_id=self.order_id, **values)
        self.connection.execute(statement.on_conflict_do_update(index_elements=["amazon_order_id"], set_=values))
        contact, _ = load_contact(self.connection, cipher, self.order_id)
        note_addresses(self.connection, {self.order_id: contact})

    def _check_again(self, done: str) -> str:
        reason = f"{done} by {self.repaired_by}; the next run checks the order."
        self._execute("forget_checks")
        self._move("new", reason)
        return reason

    def _set_skip_reason(self, reason: str | None) -> None:
        self._execute("set_skip_reason", skip_reason=reason)

    def _move(self, state: str, reason: str) -> None:
        move_orders(self.connection, [(self.order_id, state, reason)], now=self.now, dag_run_id=self.dag_run_id)

    def _execute(self, name: str, **values: Any) -> None:
        stamp = {"order_id": self.order_id, "now": self.now, "dag_run_id": self.dag_run_id}
        self.connection.execute(load_statements(__file__)[name], stamp | values)

    def record(self, outcome: str) -> None:
        """Keep who did what and why."""
        self.connection.execute(
            insert(order_repairs).values(
                amazon_order_id=self.order_id,
                dag_run_id=self.dag_run_id,
                action=self.repair.action,
                address_fields=sorted(self.repair.address),
                sku_map=dict(self.repair.sku_map),
                comment=self.repair.comment,
                repaired_by=self.repaired_by,
                repaired_at=self.now,
                outcome=outcome,
            )
        )


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value.strip():
        raise refused_param(name, "is empty", "fill it in")
    return value.strip()


def _texts(params: Mapping[str, Any], name: str) -> dict[str, str]:
    value = params.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(one, str) and one.strip() for one in value.values()):
        raise refused_param(name, "is no mapping of texts", "give each field or SKU a text, and leave out what stays")
    return {str(key).strip(): one.strip() for key, one in value.items()}
