"""Loads `carriers.yaml`, which carrier of Commerce is which on Amazon, with errors that name file, line and key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from include.adapters.yaml_file import Document, Model, Place, compose, translate
from include.domain.carriers import OTHER_CARRIER, Carrier, Carriers, simplified
from include.domain.marketplaces import MARKETPLACES
from include.domain.stores import Stores

_DEEPEST = 4  # marketplaces, A1PA6795UKMFR9, dhl, code


def _entry(value: object) -> object:
    match value:
        case str():
            return {"code": value}
        case {**keys}:
            return keys
    raise ValueError("is no carrier", "write Amazon's carrier code, or {code, name, method}")


def _spelled(code: str) -> str:
    if code != OTHER_CARRIER and simplified(code) == simplified(OTHER_CARRIER):
        raise ValueError("is not Amazon's spelling", f"write {OTHER_CARRIER}")
    return code


def _none_is_empty(value: object) -> object:
    return {} if value is None else value


class CarrierEntry(Model):
    """What a carrier is on Amazon."""

    code: Annotated[str, AfterValidator(_spelled)] = Field(pattern=r"^\S.{0,79}$")
    name: str | None = Field(None, pattern=r"^\S.{0,79}$")
    method: str | None = Field(None, pattern=r"^\S.{0,79}$")


# Pattern -> carrier.
CarrierEntries = Annotated[dict[str, Annotated[CarrierEntry, BeforeValidator(_entry)]], BeforeValidator(_none_is_empty)]


class _File(Model):
    carriers: CarrierEntries = Field(default_factory=dict)
    marketplaces: Annotated[dict[str, CarrierEntries], BeforeValidator(_none_is_empty)] = Field(default_factory=dict)


def load_carriers(path: str | Path, stores: Stores) -> Carriers:
    """Read and check the carriers file, and add the lists of `stores`. Raises MisconfiguredError with all mistakes."""
    root = compose(path, "carriers file", "ORDERS_CARRIERS_FILE", "list at least one carrier under carriers")
    document = Document(root, _DEEPEST)
    for place in [*document.nodes]:
        match place:
            case ("carriers",):
                check_patterns(document, place)
            case ("marketplaces", str(marketplace_id)):
                check_patterns(document, place)
                if marketplace_id not in MARKETPLACES:
                    document.add(place, "is not a marketplace of Amazon", "see docs/configuration.md for the list")
    file = _File()
    try:
        file = _File.model_validate(document.content)
    except ValidationError as error:
        translate(error.errors(), document, lambda place: _File if len(place) == 1 else CarrierEntry)
    document.raise_mistakes(path)
    return Carriers(
        carriers_of(file.carriers),
        {marketplace_id: carriers_of(entries) for marketplace_id, entries in file.marketplaces.items()},
        {store.name: store.carriers for store in stores.all()},
    )


def check_patterns(document: Document, place: Place) -> None:
    """Check the patterns of the list at `place`: each has a letter or digit, and no two mean the same."""
    first: dict[str, Place] = {}
    for pattern in [one for one in document.nodes if one[:-1] == place]:
        words = simplified(str(pattern[-1]))
        if not words.strip("*"):
            document.add(pattern, "has no letter or digit", "write a Commerce carrier code or a track's title")
        elif other := first.get(words):
            same = f"means the same as {other[-1]} in line {document.line(other)}"
            document.add(pattern, same, "keep one of them; case, spaces and punctuation do not count")
        else:
            first[words] = pattern


def carriers_of(entries: Mapping[str, CarrierEntry]) -> dict[str, Carrier]:
    """A list of the file in our words."""
    return {simplified(pattern): Carrier(entry.code, entry.name, entry.method) for pattern, entry in entries.items()}
