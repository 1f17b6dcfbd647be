"""The admin pages of the local Commerce: a list of orders, and one page per order, to which Recent Orders links.

They need no sign-in, because the sandbox listens on loopback and has invented customers only.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader

from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.commerce.state import CommerceState


def add_admin_routes(app: FastAPI, state: CommerceState) -> None:
    """Add /admin (newest orders first) and /admin/sales/order/view/order_id/{id}."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    environment.filters |= {"amount": _amount, "quantity": _quantity}
    template = environment.get_template("admin.html")

    @app.get("/admin")
    async def orders() -> HTMLResponse:
        newest_first = sorted(state.orders(), key=lambda order: -order["entity_id"])
        return HTMLResponse(template.render(orders=newest_first))

    @app.get("/admin/sales/order/view/order_id/{order_id}")
    async def order(order_id: str) -> HTMLResponse:
        state.play()
        with state.lock:
            try:
                found = state.order(order_id)
            except CommerceRefusal:
                return HTMLResponse(template.render(orders=None), status_code=404)
            shipments = [one for one in state.shipments() if one["order_id"] == found["entity_id"]]
            return HTMLResponse(template.render(order=found, shipments=shipments))


def _amount(value: Any) -> str:
    """An amount with two decimals; a dash if there is none."""
    return "–" if value is None else f"{Decimal(value):,.2f}"


def _quantity(value: Any) -> str:
    """A quantity without trailing zeros; a dash if there is none."""
    return "–" if value is None else f"{Decimal(value).normalize():f}"
