"""Amazon's marketplaces: ids, regions, currencies, time zones, price conventions and Seller Central hosts.

Source of the ids: https://developer-docs.amazon.com/sp-api/docs/marketplace-ids (checked 2026-11).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

REGIONS = ("na", "eu", "fe")


@dataclass(frozen=True)
class Marketplace:
    """One Amazon marketplace.

    `prices_include_tax` is the marketplace's convention for item prices; Amazon's answers do not include it.
    """

    marketplace_id: str
    country_code: str
    region: str
    currency_code: str
    time_zone: str
    seller_central_host: str
    prices_include_tax: bool


def _rows() -> list[Marketplace]:
    rows = """
    ATVPDKIKX0DER  US na USD America/Los_Angeles sellercentral.amazon.com        exclusive
    A2EUQ1WTGCTBG2 CA na CAD America/Toronto     sellercentral.amazon.ca         exclusive
    A1AM78C64UM0Y8 MX na MXN America/Mexico_City sellercentral.amazon.com.mx     inclusive
    A2Q3Y263D00KWC BR na BRL America/Sao_Paulo   sellercentral.amazon.com.br     inclusive
    A1F83G8C2ARO7P GB eu GBP Europe/London       sellercentral.amazon.co.uk      inclusive
    A1PA6795UKMFR9 DE eu EUR Europe/Berlin       sellercentral.amazon.de         inclusive
    A13V1IB3VIYZZH FR eu EUR Europe/Paris        sellercentral.amazon.fr         inclusive
    APJ6JRA9NG5V4  IT eu EUR Europe/Rome         sellercentral.amazon.it         inclusive
    A1RKKUPIHCS9HS ES eu EUR Europe/Madrid       sellercentral.amazon.es         inclusive
    A1805IZSGTT6HS NL eu EUR Europe/Amsterdam    sellercentral.amazon.nl         inclusive
    AMEN7PMS3EDWL  BE eu EUR Europe/Brussels     sellercentral.amazon.com.be     inclusive
    A2NODRKZP88ZB9 SE eu SEK Europe/Stockholm    sellercentral.amazon.se         inclusive
    A1C3SOZRARQ6R3 PL eu PLN Europe/Warsaw       sellercentral.amazon.pl         inclusive
    A28R8C7NBKEWEA IE eu EUR Europe/Dublin       sellercentral.amazon.ie         inclusive
    A33AVAJ2PDY3EV TR eu TRY Europe/Istanbul     sellercentral.amazon.com.tr     inclusive
    A2VIGQ35RCS4UG AE eu AED Asia/Dubai          sellercentral.amazon.ae         inclusive
    A17E79C6D8DWNP SA eu SAR Asia/Riyadh         sellercentral.amazon.sa         inclusive
    ARBP9OOSHTCHU  EG eu EGP Africa/Cairo        sellercentral.amazon.eg         inclusive
    AE08WJ6YKNBMC  ZA eu ZAR Africa/Johannesburg sellercentral.amazon.co.za      inclusive
    A21TJRUUN4KGV  IN eu INR Asia/Kolkata        sellercentral.amazon.in         inclusive
    A1VC38T7YXB528 JP fe JPY Asia/Tokyo          sellercentral.amazon.co.jp      inclusive
    A39IBJ37TRP1C6 AU fe AUD Australia/Sydney    sellercentral.amazon.com.au     inclusive
    A19VAU5U5O7RUS SG fe SGD Asia/Singapore      sellercentral.amazon.sg         inclusive
    """
    found = []
    for line in rows.strip().splitlines():
        marketplace_id, country, region, currency, zone, host, tax = line.split()
        found.append(Marketplace(marketplace_id, country, region, currency, zone, host, tax == "inclusive"))
    return found


MARKETPLACES: dict[str, Marketplace] = {row.marketplace_id: row for row in _rows()}

# ISO 4217 currencies whose smallest unit is one, among those that Amazon's marketplaces use.
CURRENCIES_WITHOUT_CENTS = ("JPY",)


def currency_exponent(currency_code: str) -> int:
    """How many decimals an amount in this ISO 4217 currency has: 0 for JPY, 2 otherwise."""
    return 0 if currency_code in CURRENCIES_WITHOUT_CENTS else 2


def quantize(amount: Decimal, currency_code: str) -> Decimal:
    """`amount` rounded half-even to the currency's smallest unit."""
    return amount.quantize(Decimal(1).scaleb(-currency_exponent(currency_code)))
