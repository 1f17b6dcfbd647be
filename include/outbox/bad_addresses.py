"""`ops.bad_addresses`: which orders have a delivery address that no Commerce order can have, and why. Only writer.

Addresses are encrypted. So they are looked at where they are in clear anyway: when Amazon's page lands, when a person
corrects one, and before an order is sent; validation reads only what was found.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Text, any_, delete, func, literal
from sqlalchemy.dialects.postgresql import ARRAY, insert

from include.adapters.commerce.address import address_problem
from include.database.tables import bad_addresses
from include.domain.contacts import Contact


def note_addresses(connection: Connection, contacts: Mapping[str, Contact]) -> None:
    """Note what is wrong with the addresses of these orders, or that nothing is. `contacts`: corrections included."""
    problems = {order_id: address_problem(contact) for order_id, contact in contacts.items()}
    sound = [order_id for order_id, problem in problems.items() if not problem]
    if sound:
        is_sound = bad_addresses.c.amazon_order_id == any_(literal(sound, ARRAY(Text())))
        connection.execute(delete(bad_addresses).where(is_sound))
    rows = [{"amazon_order_id": key, "problem": problem} for key, problem in sorted(problems.items()) if problem]
    if rows:
        statement = insert(bad_addresses).values(found_at=func.now())
        changed = {name: statement.excluded[name] for name in ("problem", "found_at")}
        connection.execute(statement.on_conflict_do_update(index_elements=["amazon_order_id"], set_=changed), rows)
