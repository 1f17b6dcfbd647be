"""Checks a whole installation: connections, rights, store views, currencies, keys, clocks, databases and pools.

It changes nothing outside the orders database, where the requests that it sends are counted like all others. Messages
hold neither secrets nor personal data.
"""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from include.adapters.amazon.client import AmazonClient
from include.adapters.amazon.requests import search_query
from include.adapters.commerce.catalog import store_view
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.rights import (
    ALL_STORES,
    CUSTOMERS,
    HARMLESS,
    LEGACY_STOCK,
    NEEDED,
    SALES_STOCK,
    SAVE_CUSTOMERS,
    Right,
    missing_rights,
)
from include.adapters.http import NotAuthorizedError
from include.adapters.personal_data import PersonalDataCipher
from include.database.check import ROLE_OF, check_database
from include.domain.errors import ForbiddenError, MisconfiguredError, OrdersError, ThrottledError, UndecryptableError
from include.domain.marketplaces import MARKETPLACES
from include.domain.orders import AMAZON
from include.domain.stores import Account, FixedCustomer, Store, Stores

if TYPE_CHECKING:
    from include.settings import Settings

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
_POOLS_FILE = Path(__file__).parents[1] / "pools.json"
# Machines whose clocks are synchronized differ by less than a second; a shop refuses signatures 10 minutes off.
_MOST_SKEW = timedelta(minutes=1)
_LISTED = timedelta(minutes=10)
# What reading the store views and their stocks needs.
_RIGHTS_OF_VIEWS = {ALL_STORES, SALES_STOCK}
_SAMPLES = text("""
    (select contact_encrypted from pii.order_contacts order by amazon_order_id limit 5)
    union all
    (select contact_encrypted from pii.order_contacts order by amazon_order_id desc limit 5)
""")


class Setup(Protocol):
    """What there is to check. Each part raises MisconfiguredError when it cannot be had."""

    @property
    def settings(self) -> Settings: ...

    @property
    def stores(self) -> Stores: ...

    @property
    def cipher(self) -> PersonalDataCipher: ...

    def database(self, name: str, /) -> Engine: ...

    def amazon(self, account_name: str, /) -> AmazonClient: ...

    def commerce(self, connection_name: str, /) -> CommerceClient: ...


@dataclass(frozen=True)
class Finding:
    """What came of one check. A problem's text says what to do about it."""

    state: Literal["OK", "PROBLEM", "NOT CHECKED"]
    subject: str
    words: str

    def __str__(self) -> str:
        return f"{self.state:<11}  {self.subject}: {self.words}"


def run(setup: Setup, *, clock: Clock, is_dry_run: bool = False) -> dict[str, int]:
    """Log every finding and return how many there are of each state. Raises MisconfiguredError if one is a problem."""
    counts = {"OK": 0, "PROBLEM": 0, "NOT CHECKED": 0}
    pools = Finding("NOT CHECKED", "pools", "Airflow shows its pools to no task; use python -m include check")
    for finding in chain([pools], check(setup, clock=clock, is_dry_run=is_dry_run)):
        counts[finding.state] += 1
        log.log(logging.ERROR if finding.state == "PROBLEM" else logging.INFO, "check_setup: %s", finding)
    if counts["PROBLEM"]:
        raise MisconfiguredError(
            f"check_setup: {counts['PROBLEM']} of {sum(counts.values())} checks found a problem. Resolution: each line "
            "with PROBLEM above says what to do; then run check_setup again."
        )
    return {state.lower().replace(" ", "_"): count for state, count in counts.items()}


def check(setup: Setup, *, clock: Clock, is_dry_run: bool = False) -> Iterator[Finding]:
    """Check all but Airflow itself, one finding after the other. What a problem makes impossible is not checked.

    A dry run asks neither Amazon nor a shop.
    """
    accounts: tuple[Account, ...] = ()
    shops: dict[str, list[Store]] = defaultdict(list)
    try:
        accounts = setup.stores.accounts
        for store in setup.stores.all():
            shops[store.commerce_connection].append(store)
        yield Finding("OK", "stores.yaml", f"accounts: {', '.join(account.name for account in accounts)}")
    except MisconfiguredError as error:
        for line in str(error).splitlines():
            yield Finding("PROBLEM", "stores.yaml", line)
    databases = list(_check_databases(setup))
    yield from databases
    is_database_sound = not any(one.subject == "orders_db" and one.state == "PROBLEM" for one in databases)
    yield from _check_keys(setup, is_database_sound=is_database_sound)
    why_not = None
    if is_dry_run:
        why_not = "a dry run asks neither Amazon nor a shop"
    elif not is_database_sound:
        why_not = "every request is counted in orders_db, which has a problem"
    for account in accounts:
        subject = f"account {account.name}"
        if why_not:
            yield Finding("NOT CHECKED", subject, why_not)
        else:
            yield from _check_account(setup, account, subject, clock)
    for connection in sorted(shops):
        subject = f"shop {connection}"
        importing = [store for store in shops[connection] if store.orders.is_import_enabled]
        if why_not or not importing:
            words = why_not or "import is disabled for all of its stores, so that nothing is asked of it"
            yield Finding("NOT CHECKED", subject, words)
        else:
            yield from _check_shop(setup, connection, subject, importing, clock)


def check_pools(pools: Mapping[str, int]) -> Iterator[Finding]:
    """Check that Airflow has the pools of the tasks. `pools` are its pools with their slots, -1 for no limit."""
    for name in json.loads(_POOLS_FILE.read_text(encoding="utf-8")):
        slots = pools.get(name)
        if slots:
            yield Finding("OK", f"pool {name}", _count(slots, "slot") if slots > 0 else "no limit")
        else:
            words = (
                f"Airflow has {'no such pool' if slots is None else 'no slot in it'}: tasks that use it never start. "
                "Resolution: run airflow pools import include/pools.json"
            )
            yield Finding("PROBLEM", f"pool {name}", words)


def _check_databases(setup: Setup) -> Iterator[Finding]:
    identity = None
    for name in ROLE_OF:
        try:
            with setup.database(name).connect() as connection:
                found = check_database(connection, name)
        except (OrdersError, SQLAlchemyError) as error:
            first = (
                "" if isinstance(error, OrdersError) else "; on a new server, run python -m include.database migrate"
            )
            yield Finding("PROBLEM", name, _words(error) + first)
            continue
        identity = identity or found.identity
        for problem in found.problems:
            yield Finding("PROBLEM", name, problem)
        if found.identity != identity:
            words = "it is not the database of orders_db. Resolution: point both connections at the same database"
            yield Finding("PROBLEM", name, words)
        elif not found.problems:
            yield Finding("OK", name, found.reached)


def _check_keys(setup: Setup, *, is_database_sound: bool) -> Iterator[Finding]:
    subject = "ORDERS_PII_KEYS"
    try:
        cipher = setup.cipher
    except MisconfiguredError as error:
        yield Finding("PROBLEM", subject, _words(error))
        return
    words = _count(len(setup.settings.pii_key_list()), "key")
    if is_database_sound:
        with setup.database("orders_db").connect() as connection:
            tokens = [bytes(token) for token in connection.execute(_SAMPLES).scalars()]
        try:
            for token in tokens:
                cipher.decrypt(token)
        except UndecryptableError as error:
            yield Finding("PROBLEM", subject, _words(error))
            return
        words += ", and stored contacts can be decrypted" if tokens else ", no contact is stored yet"
    yield Finding("OK", subject, words)


def _check_account(setup: Setup, account: Account, subject: str, clock: Clock) -> Iterator[Finding]:
    try:
        client = setup.amazon(account.name)
        ahead = client.server_time() - clock()
    except OrdersError as error:
        yield Finding("PROBLEM", subject, _words(error))
        return
    yield _clock_finding(f"{subject}, Amazon's clock", ahead, is_local=client.is_local)
    marketplaces = sorted({store.marketplace_id for store in account.stores})
    try:
        yield _list_orders(client, subject, marketplaces, setup.settings)
    except ForbiddenError as error:
        if len(marketplaces) == 1:
            yield Finding("PROBLEM", subject, _words(error))
            return
        for one in marketplaces:  # which of them does Amazon refuse?
            name = f"{subject}, marketplace {one} ({MARKETPLACES[one].country_code})"
            try:
                yield _list_orders(client, name, [one], setup.settings)
            except ForbiddenError as refusal:
                yield Finding("PROBLEM", name, _words(refusal))


def _list_orders(client: AmazonClient, subject: str, marketplaces: list[str], settings: Settings) -> Finding:
    """List the orders of some minutes, one at the most and without anything personal. Raises ForbiddenError."""
    until = client.server_time() - settings.window_safety_margin
    query = search_query(marketplaces, until - _LISTED, until, ("FULFILLMENT",), 1)
    try:
        client.search_orders(query, None)
    except ForbiddenError:
        raise
    except ThrottledError as error:
        words = f"the token is accepted, but the order listing was not read. {_words(error)}"
        return Finding("NOT CHECKED", subject, words)
    except OrdersError as error:
        return Finding("PROBLEM", subject, _words(error))
    return Finding("OK", subject, f"token and order listing ({', '.join(marketplaces)})")


def _check_shop(setup: Setup, connection: str, subject: str, stores: list[Store], clock: Clock) -> Iterator[Finding]:
    needed = [right for right in NEEDED if right not in (CUSTOMERS, SAVE_CUSTOMERS, LEGACY_STOCK)]
    customers = {store.orders.customer for store in stores}
    if customers != {"guest"}:
        needed.append(CUSTOMERS)
    if "new_account" in customers:
        needed.append(SAVE_CUSTOMERS)
    try:
        client = setup.commerce(connection)
        refusals = _refusals(client, needed)
        if not refusals.keys() & _RIGHTS_OF_VIEWS and not client.has_stocks():
            needed.append(LEGACY_STOCK)
            refusals |= _refusals(client, [LEGACY_STOCK])
    except OrdersError as failure:
        yield Finding("PROBLEM", subject, _words(failure))
        return
    if len(refusals) == len(needed):  # most probably not for lack of rights
        yield Finding("PROBLEM", subject, f"all requests are refused. {_words(next(iter(refusals.values())))}")
        return
    if client.shop_time is not None:
        yield _clock_finding(f"{subject}, the shop's clock", client.shop_time - clock(), is_local=client.is_local)
    named = (
        each for right, error in refusals.items() for each in missing_rights(HARMLESS[right][0], error.answer.document)
    )
    for lacking in dict.fromkeys(named):  # one right may be asked for by several calls
        words = (
            f"the integration lacks the right {lacking}. Resolution: tick it in the Commerce admin (System > "
            "Extensions > Integrations, page API) and save; docs/going-live.md lists all rights"
        )
        yield Finding("PROBLEM", subject, words)
    if not refusals:
        yield Finding("OK", subject, f"credentials and all {len(needed)} rights")
    for store in stores:
        if refusals.keys() & _RIGHTS_OF_VIEWS:
            words = f"the store views of {connection} cannot be read without the missing right"
            yield Finding("NOT CHECKED", f"store {store.name}", words)
            continue
        for variant in dict.fromkeys([store, store.fulfilled_by(AMAZON)]):
            yield _check_store(client, variant, is_customer_readable=CUSTOMERS not in refusals)


def _refusals(client: CommerceClient, rights: Sequence[Right]) -> dict[Right, NotAuthorizedError]:
    """Those of the rights that the shop refuses, and how."""
    refusals: dict[Right, NotAuthorizedError] = {}
    for right in rights:
        try:
            client.probe_right(right)
        except NotAuthorizedError as refusal:
            refusals[right] = refusal
    return refusals


def _check_store(client: CommerceClient, store: Store, *, is_customer_readable: bool) -> Finding:
    subject, customer = f"store {store.name}", store.orders.customer
    try:
        view = store_view(client, store)
        is_there = True
        if isinstance(customer, FixedCustomer) and is_customer_readable:
            is_there = client.customer_id(customer.email, view.website_id) is not None
    except OrdersError as error:
        return Finding("PROBLEM", subject, _words(error).removeprefix(f"Store {store.name}: "))
    currency = MARKETPLACES[store.marketplace_id].currency_code
    if currency != view.base_currency and not store.orders.is_currency_converted:
        words = (
            f"its orders are in {currency}, but the base currency of the store view {view.code} is "
            f"{view.base_currency}: each order would be blocked (currency_mismatch). Resolution: bind the store in "
            f"stores.yaml to a store view of a website whose base currency is {currency}, or set currency: convert"
        )
        return Finding("PROBLEM", subject, words)
    if not is_there:
        words = (
            f"the website {view.website_code} has no customer with the address under customer: fixed. Resolution: "
            "create the customer in this website, or correct the address in stores.yaml"
        )
        return Finding("PROBLEM", subject, words)
    stock = f"stock {view.stock_id}" if view.stock_id is not None else "one legacy stock"
    converted = f", to which {currency} is converted" if currency != view.base_currency else ""
    return Finding("OK", subject, f"store view {view.code}, base currency {view.base_currency}{converted}, {stock}")


def _clock_finding(subject: str, ahead: timedelta, *, is_local: bool) -> Finding:
    """`ahead` is how far the other clock is ahead of this machine's. A Date header has whole seconds."""
    if abs(ahead) <= _MOST_SKEW:
        return Finding("OK", subject, "agrees with this machine's")
    direction = "behind" if ahead > timedelta() else "ahead"
    difference = f"this machine's clock is {abs(ahead).total_seconds():.0f} seconds {direction}"
    if is_local:
        return Finding("OK", subject, f"{difference}; the address is on this machine: the sandbox has its own clock")
    words = f"{difference}. Resolution: synchronize it (NTP); a shop refuses signatures that are 10 minutes off"
    return Finding("PROBLEM", subject, words)


def _words(error: Exception) -> str:
    """An error in one line, without what only a task does: try again."""
    said = " ".join(str(error.args[0] if error.args else error).split())
    said = said.replace("it is tried again; if it stays so, ", "")
    said = said.replace("Resolution: it is tried again", "Resolution: run the check again")
    return re.sub(r"(?<=[^.:?]) Resolution:", ". Resolution:", said).rstrip(".")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
