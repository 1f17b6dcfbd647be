"""`stores.yaml`: defaults, every key, and mistakes that name file, line, store and key, all at once."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.adapters.stores_file import load_stores
from include.adapters.yaml_file import MOST_MISTAKES
from include.domain.errors import MisconfiguredError
from include.domain.stores import FixedCustomer, OrderSettings, Pack, Stores

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
          pending_orders: reserve
          amazon_fulfilled_store_view: us_fba
          currency: convert
          shipments_without_tracking: flag
        sku_map:
          US-1: "0001"
"""


@pytest.fixture
def stores_file(tmp_path: Path) -> Path:
    return tmp_path / "stores.yaml"


def mistakes(caught: pytest.ExceptionInfo[MisconfiguredError]) -> list[str]:
    return str(caught.value).splitlines()


def load(path: Path, text: str) -> Stores:
    path.write_text(text, encoding="utf-8")
    return load_stores(path)


def test_defaults_apply_when_only_the_required_keys_are_there(stores_file: Path) -> None:
    (account,) = load(stores_file, SHORTEST).accounts
    (store,) = account.stores
    assert account.connection == "amazon_sp_api"
    assert store.commerce_connection == "commerce_api"
    assert store.account_name == "acme-na"
    assert store.orders == OrderSettings(
        is_import_enabled=True,
        import_since=None,
        customer="guest",
        order_number_source="commerce",
        order_number_prefix="",
        processing_status=None,
        are_amazon_fulfilled_imported=True,
        must_amazon_fulfilled_be_in_stock=False,
        are_pending_reserved=False,
        is_amazon_tax_used=True,
        is_currency_converted=False,
    )
    assert store.sku_map == {}


def test_every_value_is_read_when_every_key_is_there(stores_file: Path) -> None:
    stores = load(stores_file, FULL)
    account = stores.account("acme-na")
    (store,) = stores.all()
    assert (account.seller_id, account.region, account.connection) == ("A1EXAMPLESELLER", "na", "amazon_na")
    assert (store.commerce_connection, store.commerce_store_view) == ("shop_us", "us_en")
    assert store.orders == OrderSettings(
        is_import_enabled=False,
        import_since=datetime(2026, 2, 1, tzinfo=UTC),
        customer=FixedCustomer("amazon@example.com"),
        order_number_source="amazon",
        order_number_prefix="AMZ-",
        processing_status="amazon_new",
        are_amazon_fulfilled_imported=False,
        must_amazon_fulfilled_be_in_stock=True,
        are_pending_reserved=True,
        amazon_fulfilled_store_view="us_fba",
        is_amazon_tax_used=False,
        is_currency_converted=True,
        are_untracked_shipments_flagged=True,
    )
    assert store.sku_map == {"US-1": Pack("0001")}
    with pytest.raises(KeyError):
        stores.account("acme-eu")


def test_five_stores_are_found_when_the_projects_own_file_is_read() -> None:
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
        (
            FULL.replace("region: na", "region: us"),
            [":4:", "account acme-na", "region", "'us'", "use 'na', 'eu' or 'fe'"],
        ),
        (
            FULL.replace("import: disabled", "import: off"),
            [":12:", "Acme US: orders: import 'off' is not", "use enabled or disabled"],
        ),
        (
            FULL.replace("tax: none", "taxes: none"),
            [":20:", "Acme US: orders", "taxes is not a known key; did you mean tax?"],
        ),
        (
            FULL.replace("sku_map", "skumap"),
            [":25:", "store Acme US: skumap is not a known key; did you mean sku_map?"],
        ),
        (FULL.replace("region: na", "region: na\n    colour: red"), [":5:", "account acme-na", "colour"]),
        (
            FULL.replace("tracking: flag", "tracking: confirm_without"),
            [":24:", "shipments_without_tracking 'confirm_without' is not possible yet", "feed", "use wait or flag"],
        ),
        (FULL + "storess: []\n", [":27:", "the file", "storess"]),
        (FULL.replace("09:00:00+09:00", "09:00:00"), [":13:", "Acme US: orders", "import_since", "no time zone"]),
        (FULL.replace("2026-02-01T09:00:00+09:00", "soon"), [":13:", "import_since", "'soon' is not a time"]),
        (FULL.replace("2026-02-01T09:00:00+09:00", "2026-02-01"), [":13:", "import_since", "no time zone"]),
        (FULL.replace("{fixed: amazon@example.com}", "new_accounts"), [":14:", "customer 'new_accounts' is not"]),
        (
            FULL.replace("{fixed: amazon@example.com}", "anybody"),
            [":14:", "customer 'anybody' is not", "use guest, new_account, or {fixed:"],
        ),
        (FULL.replace("{fixed: amazon@example.com}", "{fixed: nobody}"), [":14:", "customer {fixed: nobody} is not"]),
        (
            FULL.replace("source: amazon", "source: us"),
            [":15:", "order_number_source 'us'", "use 'commerce' or 'amazon'"],
        ),
        (FULL.replace("AMZ-", "AMZ+"), [":16:", "order_number_prefix 'AMZ+'", "text that fits ^[A-Za-z0-9_-]{0,13}$"]),
        (
            FULL.replace("processing_status: amazon_new", "processing_status: 5"),
            [":17:", "processing_status", "quotes"],
        ),
        (FULL.replace("amazon_fulfilled: ignore", "amazon_fulfilled: [a]"), [":18:", "amazon_fulfilled"]),
        (FULL.replace("stock: in_stock", "stock: {a: b}"), [":19:", "amazon_fulfilled_stock"]),
        (FULL.replace('US-1: "0001"', "US-1: 0001"), [":26:", "Acme US", "sku_map", "US-1 '0001' is no SKU", "quotes"]),
        (FULL.replace("commerce_store_view: us_en", "commerce_store_view: 5"), [":10:", "commerce_store_view"]),
        (SHORTEST + "        orders: []\n", [":9:", "Acme US: orders must be a mapping, not []"]),
        (FULL.replace("name: acme-na", "name: Acme NA"), [":2:", "name 'Acme NA'"]),
        (FULL.replace("    seller_id: A1EXAMPLESELLER\n", ""), ["account acme-na", "seller_id", "is missing"]),
        (FULL.replace("        marketplace_id: ATVPDKIKX0DER\n", ""), ["Acme US", "marketplace_id", "is missing"]),
        (FULL.replace("region: na", "region: na\n    region: na"), [":5:", "account acme-na: region is there twice"]),
        (
            SHORTEST + SECOND_STORE.format(name="Acme US", marketplace="A2EUQ1WTGCTBG2"),
            [":9:", "store Acme US: name 'Acme US' is the same as in store Acme US, line 6"],
        ),
        (
            SHORTEST + SECOND_STORE.format(name="Acme Two", marketplace="ATVPDKIKX0DER"),
            [":10:", "store Acme Two: marketplace_id 'ATVPDKIKX0DER' is the same as in store Acme US, line 7"],
        ),
        (
            SHORTEST + SECOND_ACCOUNT.format(name="acme-na", seller="A9EXAMPLESELLER", store="Other"),
            [":9:", "account acme-na: name 'acme-na' is the same as in account acme-na, line 2"],
        ),
        (
            SHORTEST + SECOND_ACCOUNT.format(name="other", seller="A1EXAMPLESELLER", store="Other"),
            [":10:", "account other: seller_id 'A1EXAMPLESELLER' is the same as in account acme-na, line 3"],
        ),
        (
            SHORTEST + SECOND_ACCOUNT.format(name="other", seller="A9EXAMPLESELLER", store="Acme US"),
            [":13:", "store Acme US: name 'Acme US' is the same as in store Acme US, line 6"],
        ),
        (FULL.replace("2026-02-01T09:00:00+09:00", "2026-02-30"), [":13:", "import_since"]),
        (FULL.replace("import: disabled", "[a]: b"), [":12:", "Acme US: orders: [a] is a key that is not text"]),
        (FULL.replace('US-1: "0001"', "[a]: b"), [":26:", "Acme US: sku_map: [a] is a key that is not text"]),
        ("accounts: []\n", [":1:", "accounts", "is empty"]),
        ("accounts: {}\n", [":1:", "accounts", "list"]),
        ("accounts:\n  - acme\n", [":2:", "account #1 must be a mapping, not 'acme'"]),
        (SHORTEST[: SHORTEST.index("      - name")].replace("stores:", "stores: []"), [":5:", "stores", "is empty"]),
        ("{}\n", [":1:", "the file: accounts is missing"]),
        ("- accounts\n", [":1:", "the file", "mapping"]),
        ("# nothing\n", ["is empty"]),
        ("accounts: [\n", [":2:", "YAML"]),
        ("accounts: !!python/object/apply:os.getcwd []\n", [":1:", "accounts"]),
        # What YAML reads is not what the person wrote; the error shows the latter.
        (FULL.replace("tax: none", "tax: no"), [":20:", "tax 'no' is not allowed here", "use amazon or none"]),
        (FULL.replace("view: us_en", "view: 1.50"), [":10:", "commerce_store_view must be text, not '1.50'", "quotes"]),
        (FULL.replace("view: us_en", "view: 0x1F"), [":10:", "commerce_store_view must be text, not '0x1F'"]),
        (FULL.replace('"0001"', "on"), [":26:", "store Acme US: sku_map: US-1 'on' is no SKU"]),
        (FULL.replace("US-1:", "1234:"), [":26:", "store Acme US: sku_map: 1234 is a key that is not text", "quotes"]),
        (FULL.replace("import: disabled", "import:"), [":12:", "orders: import is empty"]),
        (FULL.replace("view: us_en", "view: [us]"), [":10:", "commerce_store_view must be text, not [us]"]),
        (FULL.replace("name: Acme US", r'name: "\ud800"'), [":7:", "name", "is not allowed here"]),
        (FULL.replace("2026-02-01T09:00:00+09:00", "2026"), [":13:", "import_since '2026' is not a time"]),
        (FULL.replace("2026-02-01T09", "0001-01-01T00"), [":13:", "import_since", "is not a time"]),
        (
            FULL.replace("name: Acme US", "nmae: Acme US"),
            [":7:", "store #1: nmae is not a known key; did you mean name?"],
        ),
        (FULL.replace("    region: na", "    region: ~"), [":4:", "account acme-na: region is empty"]),
        (FULL.replace("source: amazon", "source: commerce"), [":16:", "order_number_prefix 'AMZ-' has no effect"]),
        (
            FULL.replace("          order_number_source: amazon\n", ""),
            [":15:", "order_number_prefix 'AMZ-' has no effect"],
        ),
        (FULL.replace("{fixed: amazon@example.com}", "&a {fixed: *a}"), [":14:", "customer"]),
        (FULL.replace("seller_id: A1EXAMPLESELLER", "seller_id: &a [*a]"), [":3:", "seller_id"]),
    ],
)
def test_line_store_and_key_are_named_when_the_file_has_a_mistake(
    stores_file: Path, text: str, named: list[str]
) -> None:
    assert text not in (FULL, SHORTEST)
    with pytest.raises(MisconfiguredError) as caught:
        load(stores_file, text)
    (mistake,) = mistakes(caught)
    assert mistake.startswith(str(stores_file))
    for part in ("Resolution: ", *named):
        assert part in mistake


MISSPELLED = ("seller_id", "region", "marketplace_id", "commerce_store_view", "import", "customer", "sku_map", "tax")


@pytest.mark.parametrize("key", MISSPELLED)
def test_misspelled_key_is_named_at_its_line_when_it_is_required_or_not(stores_file: Path, key: str) -> None:
    written = f"{key}s"
    text = FULL.replace(f" {key}:", f" {written}:")
    line = next(number for number, row in enumerate(text.splitlines(), 1) if f" {written}:" in row)
    with pytest.raises(MisconfiguredError) as caught:
        load(stores_file, text)
    (mistake,) = mistakes(caught)  # above all, nothing is called missing
    assert mistake.startswith(f"{stores_file}:{line}: ")
    assert f"{written} is not a known key; did you mean {key}? Resolution: " in mistake


def test_known_keys_are_listed_when_nothing_is_like_the_unknown_one(stores_file: Path) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        load(stores_file, FULL.replace("region: na", "region: na\n    colour: red"))
    assert "colour is not a known key. Resolution: " in str(caught.value)
    assert "(known keys: name, seller_id, region, connection, stores)" in str(caught.value)


def test_unknown_and_missing_key_are_both_named_when_they_are_not_alike(stores_file: Path) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        load(stores_file, "stores: []\n")
    unknown, missing = mistakes(caught)
    assert ":1: the file: stores is not a known key." in unknown
    assert ":1: the file: accounts is missing." in missing


def test_all_mistakes_are_listed_in_order_when_there_are_several(stores_file: Path) -> None:
    text = FULL.replace("region: na", "region: us").replace("import: disabled", "imports: no").replace("AMZ-", "A Z")
    text = text.replace("amazon_fulfilled: ignore", "amazon_fulfilled: !weird x").replace(
        "tax: none", "import_since: x"
    )
    text += SECOND_ACCOUNT.format(name="acme-na", seller="a9", store="Acme US")
    with pytest.raises(MisconfiguredError) as caught:
        load(stores_file, text)
    assert [mistake.removeprefix(f"{stores_file}:").partition(" Resolution")[0] for mistake in mistakes(caught)] == [
        "4: account acme-na: region 'us' is not allowed here.",
        "12: store Acme US: orders: imports is not a known key; did you mean import?",
        "16: store Acme US: orders: order_number_prefix 'A Z' is not allowed here.",
        "18: store Acme US: orders: amazon_fulfilled 'x' cannot be read.",
        "20: store Acme US: orders: import_since is there twice.",
        "27: account acme-na: name 'acme-na' is the same as in account acme-na, line 2.",
        "28: account acme-na: seller_id 'a9' is not allowed here.",
        "31: store Acme US: name 'Acme US' is the same as in store Acme US, line 7.",
    ]


def test_list_of_mistakes_ends_when_it_is_long(stores_file: Path) -> None:
    wrong = "".join(f"        colour{number}: red\n" for number in range(MOST_MISTAKES + 3))
    with pytest.raises(MisconfiguredError) as caught:
        load(stores_file, SHORTEST + wrong)
    *listed, last = mistakes(caught)
    assert len(listed) == MOST_MISTAKES
    assert last == "... and 3 more."


def test_no_setting_is_forgotten_when_every_key_is_there(stores_file: Path) -> None:
    (store,) = load(stores_file, FULL).all()
    for setting in fields(OrderSettings):
        assert getattr(store.orders, setting.name) != setting.default, f"add {setting.name} to the model and to FULL"


def test_prefix_is_no_mistake_when_it_is_empty(stores_file: Path) -> None:
    text = FULL.replace("source: amazon", "source: commerce").replace("AMZ-", '""')
    assert load(stores_file, text).all()[0].orders.order_number_prefix == ""


def test_accounts_are_made_when_the_file_says_so(stores_file: Path) -> None:
    (store,) = load(stores_file, f"{SHORTEST}        orders: {{customer: new_account}}\n").all()
    assert store.orders.customer == "new_account"


@pytest.mark.parametrize("empty", ["sku_map:", "sku_map: {}", "sku_map: null"])
def test_no_sku_is_mapped_when_the_map_is_empty(stores_file: Path, empty: str) -> None:
    assert load(stores_file, f"{SHORTEST}        {empty}\n").all()[0].sku_map == {}


def test_settings_are_shared_when_yaml_repeats_them(stores_file: Path) -> None:
    text = SHORTEST + "        orders: &usual {tax: none}\n"
    text += SECOND_STORE.format(name="Acme CA", marketplace="A2EUQ1WTGCTBG2") + "        orders: *usual\n"
    assert [store.orders.is_amazon_tax_used for store in load(stores_file, text).all()] == [False, False]


@pytest.mark.parametrize("value", ["!!python/object/apply:os.getcwd []", "!!python/name:os.system", "!weird x"])
def test_nothing_runs_when_a_value_has_a_tag(stores_file: Path, value: str) -> None:
    with pytest.raises(MisconfiguredError, match=r"stores\.yaml:12: .*Acme US: orders: import"):
        load(stores_file, FULL.replace("import: disabled", f"import: {value}"))


def test_setting_is_named_when_there_is_no_file(stores_file: Path) -> None:
    with pytest.raises(
        MisconfiguredError, match=r"stores\.yaml: .*cannot be read \(No such file.*Resolution: check ORDERS_STORES_FILE"
    ):
        load_stores(stores_file)


def test_encoding_is_named_when_the_file_is_not_text(stores_file: Path) -> None:
    stores_file.write_bytes(b"accounts:\n  - name: \xff\xfe\n")
    with pytest.raises(MisconfiguredError, match=r"stores\.yaml.*UTF-8"):
        load_stores(stores_file)
