"""The people of an order, decrypted: who bought, who receives. Never to be logged or put into an exception.

The classes show nothing when printed, so that a stray log line leaks nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace

# Shorter ones, such as the letters of a country, are in many a sentence.
_SHORTEST_PERSONAL_TEXT = 4


@dataclass(frozen=True, repr=False)
class Buyer:
    """Who bought; empty where Amazon gives nothing. `email` is Amazon's relay address."""

    name: str = ""
    email: str = ""
    company: str = ""


@dataclass(frozen=True, repr=False)
class Recipient:
    """Who receives the parcel, and where; empty where Amazon gives nothing.

    `district` is the district or county, `region` the state, province or prefecture, both as Amazon spells them.
    """

    name: str = ""
    company: str = ""
    address_lines: tuple[str, ...] = ()
    city: str = ""
    municipality: str = ""
    district: str = ""
    region: str = ""
    postal_code: str = ""
    country_code: str = ""
    phone: str = ""


# What a person may correct, and where it is in a Recipient. A street may have several lines.
ADDRESS_FIELDS = {
    "name": "name",
    "street": "address_lines",
    "city": "city",
    "region": "region",
    "postcode": "postal_code",
    "country_code": "country_code",
    "phone": "phone",
}


@dataclass(frozen=True, repr=False)
class Contact:
    """The personal part of one order.

    `gift_messages` are by amazon_item_id. `stored_texts` holds every text of the stored document, also of fields that
    we do not know: whatever removes personal data from a text must remove these.
    """

    buyer: Buyer = Buyer()
    recipient: Recipient = Recipient()
    gift_messages: Mapping[str, str] = field(default_factory=dict)
    stored_texts: tuple[str, ...] = ()

    def corrected(self, address: Mapping[str, str]) -> Contact:
        """The contact with these fields of the delivery address in place of Amazon's (`ADDRESS_FIELDS`)."""
        changes: dict[str, object] = {ADDRESS_FIELDS[name]: value for name, value in address.items()}
        if "street" in address:
            changes["address_lines"] = tuple(line.strip() for line in address["street"].splitlines() if line.strip())
        return replace(self, recipient=replace(self.recipient, **changes))  # type: ignore[arg-type]

    def texts(self) -> Iterator[str]:
        """Every text of the contact, some more than once."""
        yield from self.stored_texts
        for value in (*astuple(self.buyer), *astuple(self.recipient), *self.gift_messages.values()):
            yield from (value,) if isinstance(value, str) else value


def quotes(comment: str, texts: Iterable[str]) -> bool:
    """Whether a person's comment has one of these texts of a contact in it."""
    folded = comment.casefold()
    return any(len(text) >= _SHORTEST_PERSONAL_TEXT and text.casefold() in folded for text in texts)


def buyer_name(contact: Contact) -> str:
    """The buyer's name, else the recipient's, else empty: Amazon withholds both from orders that it fulfills."""
    return contact.buyer.name.strip() or contact.recipient.name.strip()
