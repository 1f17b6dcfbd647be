"""Turns an order's recipient and buyer into Commerce's address documents and names.

Limits: columns of `sales_order` and `sales_order_address` (magento2, Magento_Sales `etc/db_schema.xml`, read 2026-11).
Schema: openapi-admin-2.4.9, `sales-data-order-address-interface`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from include.domain import contacts
from include.domain.contacts import Contact, Recipient
from include.domain.countries import (
    CITY_STATES,
    COUNTRIES_WITH_STATES,
    COUNTRIES_WITHOUT_POSTAL_CODES,
    COUNTRY_CODES,
)
from include.domain.marketplaces import Marketplace
from include.settings import Settings

_LONGEST_TEXT = 255
_LONGEST_CUSTOMER_TEXT = 128
_MOST_STREET_LINES = 4
# What every version of Commerce lets stand in a name beside letters, marks and digits (magento2,
# Customer/Model/Validator/Name.php; newer versions let more).
_NAME_SIGNS = frozenset(",-_.' ")
_APOSTROPHES = str.maketrans("\u2019\u2018`", "'''")
# Amazon and merchants write these for ISO 3166's GB.
_COUNTRIES = {"UK": "GB"}
_PUERTO_RICO = frozenset({"PR", "PUERTO RICO"})


@dataclass(frozen=True)
class AddressPlaceholders:
    """What stands in a Commerce order where Amazon withholds the buyer's data; `name` is first and last name."""

    name: str
    street: str
    city: str
    postcode: str
    phone: str
    email_domain: str

    @classmethod
    def from_settings(cls, settings: Settings) -> AddressPlaceholders:
        """The placeholders of the settings."""
        return cls(**{name: getattr(settings, f"placeholder_{name}") for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class PersonName:
    """A name in the two parts that Commerce requires; neither is empty."""

    first: str
    last: str


def given_email(contact: Contact) -> str | None:
    """Amazon's relay address of the buyer; None when Amazon gives none that fits."""
    given = _text(contact.buyer.email)
    is_text = not any(unicodedata.category(sign) == "Cs" for sign in given)  # half a surrogate pair
    return given if is_text and "@" in given and len(given) <= _LONGEST_CUSTOMER_TEXT else None


def buyer_email(contact: Contact, amazon_order_id: str, placeholders: AddressPlaceholders) -> str:
    """The same, or <order id>@<placeholder domain>."""
    return given_email(contact) or f"{amazon_order_id}@{placeholders.email_domain}"


def buyer_name(contact: Contact, placeholders: AddressPlaceholders) -> PersonName:
    """The buyer's name as far as Commerce takes it, else the recipient's, else the placeholder."""
    name = _name(contacts.buyer_name(contact)) or _name(contact.recipient.name)
    return _split_name(name, placeholders, _LONGEST_CUSTOMER_TEXT)


def shipping_address(
    contact: Contact, email: str, marketplace: Marketplace, placeholders: AddressPlaceholders
) -> dict[str, Any]:
    """The recipient's address as Commerce's address document; placeholders stand for what Amazon withholds.

    The country falls back to the marketplace's. Puerto Rico is a country in Commerce's orders, not a state of the US.
    """
    given = contact.recipient
    name = _split_name(_name(given.name) or _name(contact.buyer.name), placeholders, _LONGEST_TEXT)
    country, region = _country_and_region(given)
    country = country if country in COUNTRY_CODES else marketplace.country_code
    city = _city(given, country)
    address: dict[str, Any] = {
        "address_type": "shipping",
        "firstname": name.first,
        "lastname": name.last,
        "street": _street(given, known=(city, region)) or [placeholders.street],
        "city": city[:_LONGEST_TEXT] or placeholders.city,
        "postcode": _text(given.postal_code)[:_LONGEST_TEXT] or placeholders.postcode,
        "country_id": country,
        "telephone": _text(given.phone)[:_LONGEST_TEXT] or placeholders.phone,
        "email": email,
    }
    if company := _text(given.company):
        address["company"] = company[:_LONGEST_TEXT]
    if region:
        address["region"] = region[:_LONGEST_TEXT]
        if len(region) == 2 and region.isascii() and region.isalpha():
            address["region_code"] = region.upper()
    return address


def address_problem(contact: Contact) -> str:
    """What of the delivery address no Commerce order can have, by the fields of `ADDRESS_FIELDS`; empty: nothing.

    For people, and without the values, which are personal data. An address without a street is one that Amazon
    withholds: placeholders stand for it (`is_withheld`). So they do for a missing name, phone, or postal code of a
    country without such codes. `_city` says what stands for a missing city.
    """
    if is_withheld(contact):
        return ""
    given = contact.recipient
    country, region = _country_and_region(given)
    city, postcode = _city(given, country), _text(given.postal_code)
    first, _, last = _name(given.name).partition(" ")
    missing = {
        "city": not city,
        "region": not region and country in COUNTRIES_WITH_STATES,
        "postcode": not postcode and country not in COUNTRIES_WITHOUT_POSTAL_CODES,
        "country_code": not country,
    }
    longest = {
        "name": max(first, last, key=len),
        "street": "\n".join(_street_lines(given, known=(city, region))),
        "city": city,
        "region": region,
        "postcode": postcode,
        "phone": _text(given.phone),
    }
    problems = [f"{name} is missing" for name, is_missing in missing.items() if is_missing]
    if country and country not in COUNTRY_CODES:
        problems.append("country_code is not a country code of ISO 3166")
    problems += [
        f"{name} is longer than {_LONGEST_TEXT} characters"
        for name, text in longest.items()
        if len(text) > _LONGEST_TEXT
    ]
    return ", ".join(problems)


def is_withheld(contact: Contact) -> bool:
    """Whether Amazon gives no street: what stands in a Commerce order then is a placeholder."""
    return not any(_text(line) for line in contact.recipient.address_lines)


def is_same_address(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an address of Commerce's already says what it is to say.

    Not compared: the e-mail address, which delivers no parcel, and the region's code, which Commerce does not keep.
    """
    names = ("firstname", "lastname", "company", "city", "region", "postcode", "country_id", "telephone")
    if any((found.get(name) or "") != wanted[name] for name in names):
        return False
    street: list[str] = wanted["street"]
    return list(found.get("street") or []) == street


def order_addresses(
    contact: Contact, amazon_order_id: str, marketplace: Marketplace, placeholders: AddressPlaceholders
) -> dict[str, dict[str, Any]]:
    """The documents of both addresses by their type, with every field that an earlier address may have filled."""
    email = buyer_email(contact, amazon_order_id, placeholders)
    shipping = {"company": "", "region": ""} | shipping_address(contact, email, marketplace, placeholders)
    return {"shipping": shipping, "billing": billing_address(shipping, contact, placeholders)}


def _country_and_region(given: Recipient) -> tuple[str, str]:
    """The country's code in capitals, as ISO 3166 has it if Amazon gives one, and the region."""
    country, region = _text(given.country_code).upper(), _text(given.region)
    country = _COUNTRIES.get(country, country)
    return ("PR", "") if country == "US" and region.upper() in _PUERTO_RICO else (country, region)


def _city(given: Recipient, country: str) -> str:
    """The city, else what stands for it: Amazon's addresses in Japan and of city states often have none."""
    city = _text(given.city) or _text(given.municipality) or _text(given.district)
    return city or CITY_STATES.get(country) or (_text(given.region) if country == "JP" else "")


def _street(given: Recipient, known: tuple[str, str]) -> list[str]:
    """The lines that fit into Commerce's column, which stores them joined by line feeds."""
    lines = _street_lines(given, known)
    return "\n".join(lines)[:_LONGEST_TEXT].rstrip().split("\n") if lines else []


def _street_lines(given: Recipient, known: tuple[str, str]) -> list[str]:
    """At most four lines, which is what Commerce can be set to; `known` stands elsewhere in the address."""
    lines = [_text(line) for line in given.address_lines]
    # Commerce has no field for these; without them a parcel may not find its way.
    lines += [part for part in (_text(given.district), _text(given.municipality)) if part not in known]
    lines = [line for line in dict.fromkeys(lines) if line]
    if len(lines) > _MOST_STREET_LINES:
        lines[_MOST_STREET_LINES - 1 :] = [", ".join(lines[_MOST_STREET_LINES - 1 :])]
    return lines


def billing_address(shipping: Mapping[str, Any], contact: Contact, placeholders: AddressPlaceholders) -> dict[str, Any]:
    """The delivery address under the buyer's name and company: Amazon gives no billing address."""
    address = {**shipping, "address_type": "billing"}
    if _name(contact.buyer.name):
        name = buyer_name(contact, placeholders)
        address |= {"firstname": name.first, "lastname": name.last}
    if company := _text(contact.buyer.company):
        address["company"] = company[:_LONGEST_TEXT]
    return address


def _split_name(name: str, placeholders: AddressPlaceholders, longest: int) -> PersonName:
    """Split at the first space; the placeholder's first or last part stands for a missing one."""
    first, _, last = name.partition(" ")
    spare_first, _, spare_last = placeholders.name.partition(" ")
    return PersonName(first[:longest] or spare_first, last[:longest].strip() or spare_last or spare_first)


def _name(value: str) -> str:
    """A name without the signs that Commerce refuses in one; empty if nothing but signs is left."""
    text = _text(value).translate(_APOSTROPHES)
    kept = "".join(sign if _is_name_sign(sign) else " " for sign in text)
    return " ".join(kept.split()) if any(sign.isalnum() for sign in kept) else ""


def _is_name_sign(sign: str) -> bool:
    category = unicodedata.category(sign)
    return sign in _NAME_SIGNS or category[0] in "LM" or category == "Nd"


def _text(value: str) -> str:
    """One line of text without control signs and emoji: shops with three-byte UTF-8 tables refuse the latter."""
    kept = "".join(" " if unicodedata.category(sign) == "Cc" or ord(sign) > 0xFFFF else sign for sign in value)
    return " ".join(kept.split())
