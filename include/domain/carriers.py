"""Amazon's carriers for the carriers of Commerce's tracks, found by code or title."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# Amazon's code for a carrier that is not in its list; the package then names the carrier.
OTHER_CARRIER = "Other"


@dataclass(frozen=True)
class Carrier:
    """A carrier as Amazon gets it. `name` is for the code Other; `method` is its shipping method, if one is given."""

    code: str
    name: str | None = None
    method: str | None = None


@dataclass(frozen=True)
class Carriers:
    """All lists of carriers. A list maps what `simplified` makes of a pattern to a carrier; `*` is any text."""

    everywhere: Mapping[str, Carrier] = field(default_factory=dict)
    by_marketplace: Mapping[str, Mapping[str, Carrier]] = field(default_factory=dict)
    by_store: Mapping[str, Mapping[str, Carrier]] = field(default_factory=dict)

    def find(self, store_name: str | None, marketplace_id: str | None, code: str, title: str) -> Carrier | None:
        """The carrier of a track with this carrier code and title in Commerce; None: it is in no list.

        The code decides, then the title (tracks that people type in have the code `custom`); the store's list comes
        before the marketplace's, that before the one for everywhere.
        """
        lists = (
            self.by_store.get(store_name or "", {}),
            self.by_marketplace.get(marketplace_id or "", {}),
            self.everywhere,
        )
        for words in (simplified(code), simplified(title)):
            for carriers in lists if words else ():
                for carrier in _matches(carriers, words):
                    return carrier
        return None


def other_carrier(code: str, title: str) -> Carrier:
    """A carrier that is in no list: Amazon takes it with its title, but its valid tracking rate leaves it out."""
    return Carrier(OTHER_CARRIER, title.strip() or code.strip() or OTHER_CARRIER)


def simplified(pattern: str) -> str:
    """What counts of a code, a title or a pattern: its letters and digits in lowercase, and `*`."""
    text = unicodedata.normalize("NFKC", pattern).casefold()
    return "".join(letter for letter in text if letter.isalnum() or letter == "*")


def _matches(carriers: Mapping[str, Carrier], words: str) -> Iterator[Carrier]:
    """The carrier with exactly these words first, then those of patterns, in the order of the list."""
    if words in carriers:
        yield carriers[words]
    for pattern, carrier in carriers.items():
        if "*" in pattern and re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), words):
            yield carrier
