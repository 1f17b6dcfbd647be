"""SKU maps in stores.yaml and in CSV files: what wins, and mistakes that name file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.adapters.stores_file import load_stores
from include.domain.errors import MisconfiguredError
from include.domain.stores import Pack
from tests.support.one_store import STORES

HEADER = "seller_sku,commerce_sku,quantity\n"


def load(folder: Path, more: str, files: dict[str, bytes | str] | None = None) -> dict[str, Pack]:
    for name, content in (files or {}).items():
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "stores.yaml").write_text(STORES + more, encoding="utf-8")
    (store,) = load_stores(folder / "stores.yaml").all()
    return store.sku_map


def test_packs_and_aliases_are_read_when_they_are_in_the_stores_file(tmp_path: Path) -> None:
    more = '        sku_map: {MUG-OLD: MUG, MUG-3: {sku: MUG, quantity: 3}, ONE: {sku: "1"}}\n'
    assert load(tmp_path, more) == {"MUG-OLD": Pack("MUG"), "MUG-3": Pack("MUG", 3), "ONE": Pack("1")}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("{sku: MUG, quantity: 0}", ["sku_map: MUG-3: quantity '0' is too small", "use 1 or more"]),
        ("{sku: MUG, quantity: 10001}", ["quantity '10001' is too large", "use 10000 or less"]),
        ("{sku: MUG, quantity: '3'}", ["quantity must be a whole number, not '3'", "without quotes"]),
        ("{sku: MUG, quantity: 1.5}", ["quantity must be a whole number, not '1.5'"]),
        ("{sku: MUG, quantiy: 3}", ["quantiy is not a known key; did you mean quantity?", "sku, quantity"]),
        ("{quantity: 3}", ["sku_map: MUG-3: sku is missing"]),
        ('""', ["sku_map: MUG-3: sku is empty"]),
        ("[MUG, 3]", ["sku_map: MUG-3 [MUG, 3] is no SKU", "{sku, quantity}"]),
        ("3", ["sku_map: MUG-3 '3' is no SKU", "in quotes"]),
    ],
)
def test_key_is_named_when_an_entry_of_the_stores_file_is_wrong(tmp_path: Path, value: str, named: list[str]) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        load(tmp_path, f"        sku_map:\n          MUG-3: {value}\n")
    (mistake,) = str(caught.value).splitlines()
    assert mistake.startswith(f"{tmp_path / 'stores.yaml'}:10: store Acme US: ")
    for part in named:
        assert part in mistake


def test_file_is_read_beside_the_stores_file_when_its_path_is_relative(tmp_path: Path) -> None:
    content = '\ufeffseller_sku,commerce_sku,quantity\r\n MUG-3 ,MUG,3\r\n\r\n,,\r\n"A,B",CUP,\r\n'
    found = load(tmp_path, "        sku_map_file: maps/us.csv\n", {"maps/us.csv": content})
    assert found == {"MUG-3": Pack("MUG", 3), "A,B": Pack("CUP")}


def test_every_pack_is_one_unit_when_the_file_has_no_quantity(tmp_path: Path) -> None:
    found = load(tmp_path, "        sku_map_file: us.csv\n", {"us.csv": "commerce_sku,seller_sku\nMUG,OLD\n"})
    assert found == {"OLD": Pack("MUG")}


def test_stores_file_wins_when_both_map_a_sku(tmp_path: Path) -> None:
    more = "        sku_map: {A: OWN}\n        sku_map_file: us.csv\n"
    assert load(tmp_path, more, {"us.csv": f"{HEADER}A,FILE,2\nB,FILE,2\n"}) == {"A": Pack("OWN"), "B": Pack("FILE", 2)}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (
            f"{HEADER}MUG-3,MUG,3\nMUG-2,MUG,two\n",
            ":3: quantity 'two' is not allowed here. Resolution: use a whole number",
        ),
        (f"{HEADER}MUG-3,MUG,0\n", ":2: quantity '0' is not allowed here."),
        (f"{HEADER}MUG-3,MUG,-1\n", ":2: quantity '-1' is not allowed here."),
        (f"{HEADER}MUG-3,MUG,10001\n", ":2: quantity '10001' is not allowed here."),
        (f"{HEADER},MUG,3\n", ":2: seller_sku is empty. Resolution: fill it in"),
        (f"{HEADER}MUG-3,,3\n", ":2: commerce_sku is empty."),
        (f'{HEADER}"A\nB",MUG,1\nMUG-3,MUG,x\n', ":4: quantity 'x'"),
        (f"{HEADER}A,MUG,1\nB,MUG,1\nA,CUP,1\n", ":4: seller_sku 'A' is the same as in line 2. Resolution: keep one"),
        (f"{HEADER}A,MUG\n", ":2: has 2 cells, the first line 3. Resolution: put texts with commas in quotes"),
        ("seller_sku;commerce_sku;quantity\n", ":1: seller_sku;commerce_sku;quantity is not a known column."),
        (
            "sku,commerce_sku\n",
            ":1: sku is not a known column. Resolution: let the first line be seller_sku,commerce_sku",
        ),
        ("seller_sku,quantity\nA,1\n", ":1: commerce_sku is missing or there twice."),
        ("", ":1: seller_sku is missing or there twice."),
        (b"seller_sku,commerce_sku\n\xff,A\n", ": the SKU map of store Acme US cannot be read ("),
        (f'{HEADER}"A,MUG,1\n', ": the SKU map of store Acme US cannot be read (unexpected end of data)"),
    ],
)
def test_file_line_and_column_are_named_when_the_file_has_a_mistake(
    tmp_path: Path, content: bytes | str, named: str
) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        load(tmp_path, "        sku_map_file: us.csv\n", {"us.csv": content})
    assert str(caught.value).startswith(f"{tmp_path / 'us.csv'}{named}")
    assert "Resolution: " in str(caught.value)


def test_store_is_named_when_its_file_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        MisconfiguredError, match=r"us\.csv: the SKU map of store Acme US cannot be read \(No such file"
    ):
        load(tmp_path, "        sku_map_file: us.csv\n")


def test_mistakes_are_listed_up_to_a_number_when_the_file_has_many(tmp_path: Path) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        load(tmp_path, "        sku_map_file: us.csv\n", {"us.csv": HEADER + "A,,1\n" * 23})
    *listed, last = str(caught.value).splitlines()
    assert (len(listed), last) == (20, "... and 3 more.")
