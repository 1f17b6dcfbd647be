"""The shop of the scenario: websites, store views, about twenty products, and later changes of the catalog."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from local.sandbox.seeds import CatalogChange, Product, StoreView, Website

US_STOCK, EU_STOCK, JP_STOCK = 1, 2, 3

WEBSITES = (
    Website(website_id=1, code="us", stock_id=US_STOCK),
    Website(website_id=2, code="eu", stock_id=EU_STOCK),
    Website(website_id=3, code="jp", stock_id=JP_STOCK),
)
STORE_VIEWS = (
    StoreView(store_id=1, code="default", name="Acme US", website_id=1, base_currency="USD"),
    StoreView(store_id=2, code="ca", name="Acme Canada", website_id=1, base_currency="CAD"),
    StoreView(store_id=3, code="de", name="Acme Deutschland", website_id=2, base_currency="EUR"),
    StoreView(store_id=4, code="uk", name="Acme UK", website_id=2, base_currency="GBP"),
    StoreView(store_id=5, code="jp", name="Acme Japan", website_id=3, base_currency="JPY"),
)

# A SKU with everything that breaks careless URLs and lists: a space, a slash and a comma.
AWKWARD_SKU = "RUG-JUTE 120/180, NATURAL"
SCARCE_SKU = "LAMP-OAK-TABLE"
DISABLED_SKU = "CLOCK-WALL-30"
LATE_SKU = "STOOL-BIRCH"  # is added to the catalog during the scenario
UNKNOWN_SKU = "LANTERN-COPPER"  # is never added

# SKU, name, price, quantities in the US, in Europe and in Japan
_ROWS = (
    ("KETTLE-1.7L", "Electric Kettle, 1.7 l", "39.90", 120, 80, 40),
    ("TOWEL-BATH-SAGE", "Bath Towel, Sage", "18.50", 300, 150, 90),
    ("MUG-STONE-4", "Stoneware Mugs, Set of 4", "32.00", 85, 60, 30),
    (SCARCE_SKU, "Oak Table Lamp", "74.00", 3, 25, 12),
    ("PILLOW-LINEN-50", "Linen Pillowcase, 50 x 70 cm", "24.00", 140, 110, 70),
    ("BLANKET-WOOL-GREY", "Wool Blanket, Grey", "89.00", 45, 30, 20),
    ("PAN-IRON-26", "Cast Iron Pan, 26 cm", "49.00", 60, 44, 18),
    ("KNIFE-CHEF-20", "Chef's Knife, 20 cm", "64.50", 75, 52, 33),
    ("BOARD-BAMBOO-L", "Bamboo Cutting Board, Large", "21.90", 130, 95, 50),
    ("CANDLE-SOY-FIG", "Soy Candle, Fig", "14.00", 0, 0, 0),
    ("VASE-GLASS-TALL", "Tall Glass Vase", "27.50", 58, 35, 22),
    (DISABLED_SKU, "Wall Clock, 30 cm", "35.00", 40, 25, 15),
    (AWKWARD_SKU, "Jute Rug, 120 x 180 cm, Natural", "119.00", 22, 16, 6),
    ("BASKET-SEAGRASS", "Seagrass Basket", "29.00", 90, 64, 28),
    ("TEAPOT-CAST-IRON", "Cast Iron Teapot, 0.8 l", "54.00", 34, 28, 45),
    ("CURTAIN-LINEN-WHITE", "Linen Curtain, White", "46.00", 70, 48, 0),
    ("JAR-STORAGE-3", "Storage Jars, Set of 3", "26.40", 115, 77, 36),
    ("DOORMAT-COIR", "Coir Doormat", "19.90", 95, 60, 0),
    ("TRAY-WALNUT", "Walnut Serving Tray", "42.00", 38, 27, 19),
    ("BOWL-SALAD-ACACIA", "Acacia Salad Bowl", "36.80", 52, 41, 24),
)
_ALL_WEBSITES = tuple(website.website_id for website in WEBSITES)

PRODUCTS = tuple(
    Product(
        product_id=number,
        sku=sku,
        name=name,
        price=Decimal(price),
        website_ids=_ALL_WEBSITES,
        status=2 if sku == DISABLED_SKU else 1,
        quantities={US_STOCK: Decimal(us), EU_STOCK: Decimal(eu), JP_STOCK: Decimal(jp)},
        manage_stock=sku != "CANDLE-SOY-FIG",  # made to order: stock is not managed, always salable
    )
    for number, (sku, name, price, us, eu, jp) in enumerate(_ROWS, 1)
)
TITLES = {product.sku: product.name for product in PRODUCTS} | {
    LATE_SKU: "Birch Stool",
    UNKNOWN_SKU: "Copper Lantern",
    "UK-KETTLE-17": "Electric Kettle, 1.7 l",
}


def catalog_changes(started_at: datetime) -> tuple[CatalogChange, ...]:
    """After 20 minutes the disabled product is enabled and the late one is created."""
    late = Product(
        product_id=len(PRODUCTS) + 1,
        sku=LATE_SKU,
        name=TITLES[LATE_SKU],
        price=Decimal("59.00"),
        website_ids=_ALL_WEBSITES,
        quantities={US_STOCK: Decimal(15), EU_STOCK: Decimal(20), JP_STOCK: Decimal(5)},
    )
    at = started_at + timedelta(minutes=20)
    return (
        CatalogChange(at=at, sku=DISABLED_SKU, status=1),
        CatalogChange(at=at, sku=LATE_SKU, create=late),
    )
