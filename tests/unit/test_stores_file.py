"""`stores.yaml`: defaults, every key, and mistakes that name file, line, store and key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.adapters.stores_file import load_stores
from include.domain.errors import MisconfiguredError
from include.domain.stores import OrderSettings, Stores

CHECKOUT = Path(__file__).parents[2]

SHORTEST = """\
accounts:
  - name: acme-na
    seller_id: A1EXAMPLESELLER
    region: na
    stores:
      - name: Acme US
        marketplace_id: ATVPDKIKX0DER
        commerce_store_view: default
"""
FULL = """\
accounts:
  - name: acme-na
    seller_id: A1EXAMPLESELLER
    region: na
    connection: amazon_na
    stores:
      - name: Acme US
        marketplace_id: ATVPDKIKX0DER
        commerce_connection: shop_us
        commerce_store_view: us_en
        orders:
          import: disabled
          import_since: 2026-02-01T09:00:00+09:00
          customer: {fixed: amazon@example.com}
          order_number_source: amazon
          order_number_prefix: AMZ-
          processing_status: amazon_new
          amazon_fulfilled: ignore
          amazon_fulfilled_stock: in_stock
          tax: none
        sku_map:
          US-1: "0001"
"""


@pytest.fixture
def stores_file(tmp_path: Path) -> Path:
    return tmp_path / "stores.yaml"


def load(path: Path, text: str) -> Stores:
    path.write_text(text, encoding="utf-8")
    return load_stores(path)


def test_stores_when_only_the_required_keys_are_there(stores_file: Path) -> None:
    (account,) = load(stores_file, SHORTEST).accounts
    (store,) = account.stores
    assert account.connection == "amazon_sp_api"
    assert store.commerce_connection == "commerce_api"
    assert store.account_name == "acme-na"
    assert store.orders == OrderSettings(
        is_import_enabled=True,
        import_since=None,
        fixed_customer_email=None,
        order_number_source="commerce",
        order_number_prefix="",
        processing_status=None,
        are_amazon_fulfilled_imported=True,
        must_amazon_fulfilled_be_in_stock=False,
        is_amazon_tax_used=True,
    )
    assert store.catalog_sku("US-1") == "US-1"


def test_stores_when_every_key_is_there(stores_file: Path) -> None:
    stores = load(stores_file, FULL)
    account = stores.account("acme-na")
    (store,) = stores.all()
    assert (account.seller_id, account.region, account.connection) == ("A1EXAMPLESELLER", "na", "amazon_na")
    assert (store.commerce_connection, store.commerce_store_view) == ("shop_us", "us_en")
    assert store.orders == OrderSettings(
        is_import_enabled=False,
        import_since=datetime(2026, 2, 1, tzinfo=UTC),
        fixed_customer_email="amazon@example.com",
        order_number_source="amazon",
        order_number_prefix="AMZ-",
        processing_status="amazon_new",
        are_amazon_fulfilled_imported=False,
        must_amazon_fulfilled_be_in_stock=True,
        is_amazon_tax_used=False,
    )
    assert store.catalog_sku("US-1") == "0001"
    with pytest.raises(KeyError):
        stores.account("acme-eu")


def test_stores_when_the_projects_own_file_is_read() -> None:
    stores = load_stores(CHECKOUT / "include" / "stores.yaml")
    assert [account.name for account in stores.accounts] == ["acme-na", "acme-eu", "acme-fe"]
    assert len(stores.all()) == 5


SECOND_STORE = """\
      - name: {name}
        marketplace_id: {marketplace}
        commerce_store_view: default
"""
SECOND_ACCOUNT = """\
  - name: {name}
    seller_id: {seller}
    region: na
    stores:
      - name: {store}
        marketplace_id: ATVPDKIKX0DER
        commerce_store_view: default
"""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        # (file, what its error names: line, store or account, key, what would be right)
        (FULL.replace("ATVPDKIKX0DER", "A0NOWHERE"), [":8:", "store Acme US", "marketplace_id", "'A0NOWHERE'"]),
        (FULL.replace("ATVPDKIKX0DER", "A1PA6795UKMFR9"), [":8:", "Acme US", "marketplace_id", "(DE)", "region eu"]),
        (FULL.replace("region: na", "region: us"), [":4:", "account acme-na", "region", "'us'", "na, eu, fe"]),
        (FULL.replace("import: disabled", "import: off"), [":12:", "Acme US: orders", "import", "enabled, disabled"]),
        (FULL.replace("tax: none", "taxes: none"), [":20:", "Acme US: orders", "taxes", "not a key that we know"]),
        (FULL.replace("sku_map", "skumap"), [":22:", "store Acme US", "skumap", "not a key that we know"]),
        (FULL.replace("region: na", "region: na\n    colour: red"), [":5:", "account acme-na", "colour"]),
        (FULL + "storess: []\n", [":23:", "the file", "storess"]),
        (FULL.replace("09:00:00+09:00", "09:00:00"), [":13:", "Acme US: orders", "import_since", "no time zone"]),
        (FULL.replace("2026-02-01T09:00:00+09:00", "soon"), [":13:", "import_since", "'soon' is not a time"]),
        (FULL.replace("2026-02-01T09:00:00+09:00", "2026-02-01"), [":13:", "import_since", "no time zone"]),
        (FULL.replace("{fixed: amazon@example.com}", "new_account"), [":14:", "customer", "not supported"]),
        (FULL.replace("{fixed: amazon@example.com}", "anybody"), [":14:", "customer", "'anybody' is unknown"]),
        (FULL.replace("{fixed: amazon@example.com}", "{fixed: nobody}"), [":14:", "customer"]),
        (FULL.replace("source: amazon", "source: us"), [":15:", "order_number_source", "commerce, amazon"]),
        (FULL.replace("AMZ-", "AMZ+"), [":16:", "order_number_prefix", "'AMZ+'"]),
        (
            FULL.replace("processing_status: amazon_new", "processing_status: 5"),
            [":17:", "processing_status", "quotes"],
        ),
        (FULL.replace("amazon_fulfilled: ignore", "amazon_fulfilled: [a]"), [":18:", "amazon_fulfilled"]),
        (FULL.replace("stock: in_stock", "stock: {a: b}"), [":19:", "amazon_fulfilled_stock"]),
        (FULL.replace('US-1: "0001"', "US-1: 0001"), [":22:", "Acme US", "sku_map", "quotes"]),
        (FULL.replace("commerce_store_view: us_en", "commerce_store_view: 5"), [":10:", "commerce_store_view"]),
        (FULL.replace("orders:", "orders: []\n        more:"), [":11:", "Acme US: orders", "mapping"]),
        (FULL.replace("name: acme-na", "name: Acme NA"), [":2:", "name", "'Acme NA'"]),
        (FULL.replace("    seller_id: A1EXAMPLESELLER\n", ""), ["account acme-na", "seller_id", "is missing"]),
        (FULL.replace("        marketplace_id: ATVPDKIKX0DER\n", ""), ["Acme US", "marketplace_id", "is missing"]),
        (FULL.replace("region: na", "region: na\n    region: na"), [":5:", "'region' twice"]),
        (
            SHORTEST + SECOND_STORE.format(name="Acme US", marketplace="A2EUQ1WTGCTBG2"),
            [":9:", "store Acme US: name is the same as in store Acme US"],
        ),
        (
            SHORTEST + SECOND_STORE.format(name="Acme Two", marketplace="ATVPDKIKX0DER"),
            [":10:", "store Acme Two: marketplace_id is the same as in store Acme US", "acme-na, ATVPDKIKX0DER"],
        ),
        (
            SHORTEST + SECOND_ACCOUNT.format(name="acme-na", seller="A9EXAMPLESELLER", store="Other"),
            [":9:", "account acme-na: name is the same as in account acme-na"],
        ),
        (
            SHORTEST + SECOND_ACCOUNT.format(name="other", seller="A1EXAMPLESELLER", store="Other"),
            [":10:", "account other: seller_id is the same as in account acme-na", "A1EXAMPLESELLER, na"],
        ),
        (
            SHORTEST + SECOND_ACCOUNT.format(name="other", seller="A9EXAMPLESELLER", store="Acme US"),
            [":13:", "store Acme US: name is the same as in store Acme US"],
        ),
        (FULL.replace("2026-02-01T09:00:00+09:00", "2026-02-30"), [":13:", "import_since"]),
        (FULL.replace("import: disabled", "[a]: b"), [":12:", "Acme US: orders", "key that is not text"]),
        (FULL.replace('US-1: "0001"', "[a]: b"), [":22:", "Acme US", "sku_map"]),
        ("accounts: []\n", [":1:", "accounts", "is empty"]),
        ("accounts: {}\n", [":1:", "accounts", "list"]),
        ("accounts:\n  - acme\n", [":2:", "an account", "mapping"]),
        (SHORTEST[: SHORTEST.index("      - name")].replace("stores:", "stores: []"), [":5:", "stores", "is empty"]),
        ("stores: []\n", ["accounts", "is missing"]),
        ("- accounts\n", [":1:", "the file", "mapping"]),
        ("# nothing\n", ["is empty"]),
        ("accounts: [\n", ["not YAML", "line"]),
        ("accounts: !!python/object/apply:os.getcwd []\n", [":1:", "accounts"]),
    ],
)
def test_stores_when_the_file_has_a_mistake(stores_file: Path, text: str, named: list[str]) -> None:
    assert text not in (FULL, SHORTEST)
    with pytest.raises(MisconfiguredError) as caught:
        load(stores_file, text)
    for part in (str(stores_file), *named):
        assert part in str(caught.value)


@pytest.mark.parametrize("value", ["!!python/object/apply:os.getcwd []", "!!python/name:os.system", "!weird x"])
def test_stores_when_a_value_has_a_tag_runs_nothing(stores_file: Path, value: str) -> None:
    with pytest.raises(MisconfiguredError, match=r"stores\.yaml:12: .*Acme US: orders: import"):
        load(stores_file, FULL.replace("import: disabled", f"import: {value}"))


def test_stores_when_there_is_no_file(stores_file: Path) -> None:
    with pytest.raises(MisconfiguredError, match=r"stores\.yaml cannot be read .*Resolution: check ORDERS_STORES_FILE"):
        load_stores(stores_file)


def test_stores_when_the_file_is_not_text(stores_file: Path) -> None:
    stores_file.write_bytes(b"accounts:\n  - name: \xff\xfe\n")
    with pytest.raises(MisconfiguredError, match=r"stores\.yaml.*UTF-8"):
        load_stores(stores_file)
