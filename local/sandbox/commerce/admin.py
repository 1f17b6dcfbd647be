"""The admin pages of the local Commerce: orders to ship, cancel or refund, and products with their stock.

Recent Orders links to the page of an order. The pages need no sign-in, because the sandbox listens on loopback and has
invented customers only. They are plain forms: a form that was carried out leads to a page that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader

from local.sandbox.commerce import creditmemos
from local.sandbox.commerce import orders as rules
from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.commerce.state import CommerceState
from local.sandbox.seeds import Product

_PRODUCTS = "/admin/catalog/product"
_ORDER = "/admin/sales/order"
# Magento's own carriers, and its way to name another one.
_CARRIERS = {
    "ups": "United Parcel Service",
    "usps": "United States Postal Service",
    "fedex": "Federal Express",
    "dhl": "DHL",
    "custom": "Custom Value",
}

Form = Mapping[str, str]


class _Pages:
    """Renders the templates in `pages/` with what `state` holds. `on_change` is called by `done`."""

    def __init__(self, state: CommerceState, on_change: Callable[[], None]) -> None:
        self.state = state
        self._on_change = on_change
        self._templates = Environment(loader=FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True)
        self._templates.filters |= {"amount": _amount, "quantity": _quantity}

    def page(self, name: str, status: int = 200, **facts: Any) -> Response:
        text = self._templates.get_template(name).render({"form": {}} | facts)
        return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})

    def order(self, order_id: str, status: int = 200, **facts: Any) -> Response:
        """The page of an order, with the forms that its state allows."""
        self.state.play()
        with self.state.lock:
            try:
                found = self.state.order(order_id)
            except CommerceRefusal:
                return self.page("missing.html", 404, thing="order")
            left = [(item, rules.open_quantity(item, "qty_shipped")) for item in found["items"]]
            return self.page(
                "order.html",
                status,
                order=found,
                shipments=[one for one in self.state.shipments() if one["order_id"] == found["entity_id"]],
                to_ship=[pair for pair in left if pair[1]] if rules.can_ship(found) else [],
                carriers=list(_CARRIERS.items()),
                # What is invoiced cannot be canceled any more.
                ending="cancel" if rules.can_invoice(found) else "refund" if creditmemos.can_refund(found) else None,
                **facts,
            )

    def product(self, product: Product | None, form: Form, status: int = 200, **facts: Any) -> Response:
        """The form of a product; None is a new one."""
        salable = {}
        if product is not None and product.manage_stock:
            salable = {stock: self.state.catalog.salable(product.sku, stock) for stock in product.quantities}
        stocks = self.state.seed.websites
        return self.page("product.html", status, product=product, form=form, stocks=stocks, salable=salable, **facts)

    def done(self, address: str, message: str, **query: str) -> Response:
        """The answer to a form that was carried out: go to `address`, which shows the message."""
        self._on_change()
        return RedirectResponse(f"{address}?{urlencode(query | {'done': message})}", 303)


def add_admin_routes(app: FastAPI, state: CommerceState, on_change: Callable[[], None]) -> None:
    """Add the pages under /admin. `on_change` is called after each form that was carried out."""
    pages = _Pages(state, on_change)
    _add_order_routes(app, state, pages)
    _add_product_routes(app, state, pages)


def _add_order_routes(app: FastAPI, state: CommerceState, pages: _Pages) -> None:
    @app.get("/admin")
    async def orders() -> Response:
        return pages.page("orders.html", orders=sorted(state.orders(), key=lambda order: -order["entity_id"]))

    @app.get(_ORDER + "/view/order_id/{order_id}")
    async def order(order_id: str, done: str = "") -> Response:
        return pages.order(order_id, done=done)

    @app.post(_ORDER + "/{action}/order_id/{order_id}")
    async def end_or_ship(request: Request, action: str, order_id: str) -> Response:
        form = await _form(request)
        try:
            with state.lock:
                message = _act(state, action, state.order(order_id)["entity_id"], form)
        except CommerceRefusal as refusal:
            return pages.order(order_id, 400, error=refusal.message, form=form)
        return pages.done(f"{_ORDER}/view/order_id/{order_id}", message)


def _add_product_routes(app: FastAPI, state: CommerceState, pages: _Pages) -> None:
    @app.get(_PRODUCTS)
    async def products(done: str = "") -> Response:
        state.play()
        with state.lock:
            return pages.page("products.html", products=state.catalog.all(), stocks=state.seed.websites, done=done)

    @app.get(_PRODUCTS + "/new")
    async def new_product(sku: str = "") -> Response:
        return pages.product(None, {"sku": sku})

    @app.post(_PRODUCTS + "/new")
    async def create_product(request: Request) -> Response:
        form = await _form(request)
        try:
            with state.lock:
                _create(state, form)
        except CommerceRefusal as refusal:
            return pages.product(None, form, 400, error=refusal.message)
        return pages.done(_PRODUCTS, f"You created the product {form['sku'].strip()}.")

    @app.get(_PRODUCTS + "/edit")
    async def edit_product(sku: str, done: str = "") -> Response:
        state.play()
        with state.lock:
            product = state.catalog.find(sku)
            if product is None:
                return pages.page("missing.html", 404, thing="product")
            return pages.product(product, _shown(state, product), done=done)

    @app.post(_PRODUCTS + "/edit")
    async def save_product(request: Request, sku: str) -> Response:
        form = await _form(request)
        with state.lock:
            product = state.catalog.find(sku)
            if product is None:
                return pages.page("missing.html", 404, thing="product")
            try:
                state.set_product(sku, **_entered(state, form, product.quantities))
            except CommerceRefusal as refusal:
                return pages.product(product, form, 400, error=refusal.message)
        return pages.done(f"{_PRODUCTS}/edit", "You saved the product.", sku=product.sku)


def _act(state: CommerceState, action: str, order_id: int, form: Form) -> str:
    """Carry out a form of an order's page and return what has happened. Raises CommerceRefusal."""
    if action == "ship":
        names = {name: text for name, text in form.items() if name.startswith("quantity_")}
        quantities = {int(name.removeprefix("quantity_")): _number(text, "quantity") for name, text in names.items()}
        carrier, number = form.get("carrier", "custom"), form.get("number", "").strip()
        title = form.get("title", "").strip() or _CARRIERS.get(carrier, carrier)
        state.ship_order(order_id, quantities, [(carrier, title, number)] if number else [])
        return "The shipment has been created."
    if action == "cancel" and state.cancel_order(order_id):
        return "You canceled the order."
    if action == "refund" and state.refund_order(order_id):
        return "You created the credit memo. The order is closed."
    raise CommerceRefusal(400, "The order cannot be changed like this.")


def _create(state: CommerceState, form: Form) -> None:
    sku = form.get("sku", "").strip()
    if not sku:
        raise CommerceRefusal(400, "Enter a SKU.")
    if state.catalog.find(sku):
        raise CommerceRefusal(400, f"There is a product with the SKU {sku} already.")
    stocks = {website.stock_id: Decimal(0) for website in state.seed.websites}
    number = max((product.product_id for product in state.catalog.all()), default=0) + 1
    state.add_product(Product(product_id=number, sku=sku, **_entered(state, form, stocks)))


def _entered(state: CommerceState, form: Form, stocks: Mapping[int, Decimal]) -> dict[str, Any]:
    """The fields of a product as entered; `stocks` are its quantities until now. Raises CommerceRefusal."""
    name = form.get("name", "").strip()
    if not name:
        raise CommerceRefusal(400, "Enter a name.")
    given = {stock: form.get(f"stock_{stock}", "").strip() for stock in (site.stock_id for site in state.seed.websites)}
    entered = {stock: _number(text, "quantity") for stock, text in given.items() if text}
    websites = [site.website_id for site in state.seed.websites]
    return {
        "website_ids": tuple(number for number in websites if form.get(f"website_{number}") != "0"),
        "name": name,
        "price": _number(form.get("price", ""), "price"),
        "status": 2 if form.get("status") == "2" else 1,
        "quantities": {**stocks, **entered},
    }


def _shown(state: CommerceState, product: Product) -> dict[str, str]:
    stocks = {f"stock_{stock}": _quantity(quantity) for stock, quantity in product.quantities.items()}
    fields = {"sku": product.sku, "name": product.name, "price": f"{product.price:.2f}", "status": str(product.status)}
    websites = [site.website_id for site in state.seed.websites]
    return fields | stocks | {f"website_{one}": str(int(one in product.website_ids)) for one in websites}


def _number(text: str, name: str) -> Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise CommerceRefusal(400, f"Enter a {name} that is a number, not {text!r}.")
    return number


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))


def _amount(value: Any) -> str:
    """An amount with two decimals; a dash if there is none."""
    return "–" if value is None else f"{Decimal(value):,.2f}"


def _quantity(value: Any) -> str:
    """A quantity without trailing zeros; a dash if there is none."""
    return "–" if value is None else f"{Decimal(value).normalize():f}"
