"""`carriers.yaml` and `carriers` in `stores.yaml`: what each entry means, and mistakes that name file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.adapters.carriers_file import load_carriers
from include.adapters.stores_file import load_stores
from include.domain.carriers import Carrier, Carriers
from include.domain.errors import MisconfiguredError
from include.domain.stores import Stores
from include.settings import Settings
from tests.support.one_store import STORES

GERMANY, US = "A1PA6795UKMFR9", "ATVPDKIKX0DER"
FILE = """\
carriers:
  ups: UPS
  "dhl*": DHL
  DHL Paket: {code: DHL, method: DHL Paket}
  "*kurier*": {code: Other, name: Kurier}
  ヤマト運輸: YamatoTransport
marketplaces:
  A1PA6795UKMFR9:
    ups: {code: UPS, method: UPS Standard}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "carriers.yaml"


def load(file: Path, text: str, stores: Stores | None = None) -> Carriers:
    file.write_text(text, encoding="utf-8")
    return load_carriers(file, stores or Stores(()))


def load_store(file: Path, carriers: str) -> Stores:
    path = file.with_name("stores.yaml")
    path.write_text(STORES + carriers, encoding="utf-8")
    return load_stores(path)


def shipped() -> Carriers:
    return load_carriers(Settings().carriers_file, Stores(()))


@pytest.mark.parametrize(
    ("code", "title", "expected"),
    [
        ("ups", "United Parcel Service", "UPS"),
        ("fedex", "", "FedEx"),
        ("custom", "Royal Mail", "Royal Mail"),
        ("custom", "D.H.L.", "DHL"),
        ("usps", "something else", "USPS"),
        ("custom", " Bike courier ", None),
        ("", "", None),
    ],
)
def test_carrier_gets_amazons_code_when_commerce_names_one(code: str, title: str, expected: str | None) -> None:
    found = shipped().find("Acme US", US, code, title)
    assert (found and found.code) == expected


def test_carrier_is_found_when_its_title_is_amazons_own_code() -> None:
    carriers = shipped()
    codes = {carrier.code for carrier in carriers.everywhere.values()}
    assert len(codes) > 15
    for code in codes - {"YamatoTransport", "SagawaExpress"}:
        assert carriers.find(None, None, "custom", code) == Carrier(code)


@pytest.mark.parametrize(
    ("marketplace_id", "code", "title", "expected"),
    [
        (US, "ups", "", Carrier("UPS")),
        (GERMANY, "ups", "", Carrier("UPS", method="UPS Standard")),
        (US, "custom", "DHL-Express (24h)", Carrier("DHL")),
        (US, "custom", "dhl paket", Carrier("DHL", method="DHL Paket")),
        (US, "custom", "Der Kurier Berlin", Carrier("Other", "Kurier")),
        (US, "custom", "ヤマト運輸", Carrier("YamatoTransport")),
        (US, "custom", "佐川急便", None),
        (US, "custom", "kuri", None),
    ],
)
def test_entry_is_found_when_code_or_title_fit_its_pattern(
    file: Path, marketplace_id: str, code: str, title: str, expected: Carrier | None
) -> None:
    assert load(file, FILE).find("Acme US", marketplace_id, code, title) == expected


def test_the_stores_own_carrier_counts_when_it_has_one(file: Path) -> None:
    stores = load_store(file, "        carriers:\n          ups: {code: UPS, method: Ground}\n")
    carriers = load(file, FILE, stores)
    assert carriers.find("Acme US", GERMANY, "ups", "") == Carrier("UPS", method="Ground")
    assert carriers.find("Acme DE", GERMANY, "ups", "") == Carrier("UPS", method="UPS Standard")
    assert carriers.find("Acme US", US, "dhl", "") == Carrier("DHL")


@pytest.mark.parametrize("text", ["carriers:\n", "marketplaces: {}\n"])
def test_no_carrier_is_known_when_the_lists_are_empty(file: Path, text: str) -> None:
    assert load(file, text).find(None, None, "ups", "UPS") is None


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("carriers:\n  ups: 7\n", "2: the file: carriers: ups '7' is no carrier. Resolution: write Amazon's carrier"),
        ("carriers:\n  ups: {cod: UPS}\n", "2: the file: carriers: ups: cod is not a known key; did you mean code?"),
        ("carriers:\n  ups: {name: UPS}\n", "2: the file: carriers: ups: code is missing"),
        ("carriers:\n  ups: other\n", "2: the file: carriers: ups: code 'other' is not Amazon's spelling"),
        ("carriers:\n  ups: ' UPS'\n", "2: the file: carriers: ups: code ' UPS' is not allowed here"),
        ("carriers:\n  ups: UPS\n  U.P.S.: UPS\n", "3: the file: carriers: U.P.S. means the same as ups in line 2"),
        ("carriers:\n  ups: UPS\n  ups: UPS\n", "3: the file: carriers: ups is there twice"),
        ("carriers:\n  '*': UPS\n", "2: the file: carriers: * has no letter or digit"),
        ("carrier:\n  ups: UPS\n", "1: the file: carrier is not a known key; did you mean carriers?"),
        ("marketplaces:\n  DE:\n    ups: UPS\n", "2: the file: marketplaces: DE is not a marketplace of Amazon"),
        ("marketplaces:\n  A1PA6795UKMFR9: UPS\n", "2: the file: marketplaces: A1PA6795UKMFR9 must be a mapping"),
        ("", ": the file is empty. Resolution: list at least one carrier under carriers"),
    ],
)
def test_mistake_names_line_and_key_when_the_file_is_wrong(file: Path, text: str, mistake: str) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        load(file, text)
    (line,) = str(caught.value).splitlines()
    assert line.removeprefix(f"{file}:").startswith(mistake.removeprefix(":") if not text else mistake)


def test_mistake_names_the_store_when_its_carriers_are_wrong(file: Path) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        load_store(file, "        carriers:\n          ups: {code: UPS, methode: Ground}\n          '-': DHL\n")
    first, second = str(caught.value).splitlines()
    assert "stores.yaml:10: store Acme US: carriers: ups: methode is not a known key; did you mean method?" in first
    assert "stores.yaml:11: store Acme US: carriers: - has no letter or digit" in second


def test_setting_is_named_when_there_is_no_file(file: Path) -> None:
    with pytest.raises(MisconfiguredError, match=r"the carriers file cannot be read .*check ORDERS_CARRIERS_FILE"):
        load_carriers(file, Stores(()))
