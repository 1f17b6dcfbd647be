"""Reads Commerce's error documents: status and JSON come in, a code and words without personal data go out.

Shape (openapi-admin-2.4.9, `error-response`): `message` with %1 or %name in it, `parameters` as list or map, `errors`
with more of the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from include.adapters.http import Refusal

Scrub = Callable[[str], str]

_LONGEST = 300
_PLACEHOLDER = re.compile(r"%(\w+)")
_EMAIL = re.compile(r"\S+@\S+")
_DUPLICATE = re.compile(r"unique|duplicate", re.IGNORECASE)


def explain(status: int, document: Any, scrub: Scrub) -> Refusal:
    """A refusal (4xx): its code is `duplicate` when a unique key is taken, else the HTTP status.

    Its cause is a digest of Commerce's messages without their parameters and numbers.
    """
    reason = words(document, scrub)
    code = "duplicate" if _DUPLICATE.search(reason) else str(status)
    templates = [re.sub(r"\d+", "#", str(entry["message"])) for entry in _entries(document)]
    return Refusal(code, reason, hashlib.sha256("\n".join([code, *templates]).encode()).hexdigest()[:16])


def words(document: Any, scrub: Scrub) -> str:
    """Commerce's message with its parameters filled in, scrubbed, at most 300 characters."""
    said = [_fill_in(entry) for entry in _entries(document)]
    # Whatever the caller knows of the buyer: no e-mail address gets through.
    return _EMAIL.sub("[removed]", scrub("; ".join(said)))[:_LONGEST] or "no message"


def _entries(document: Any) -> list[dict[str, Any]]:
    """The parts of an error document that have a message."""
    entries = [document]
    if isinstance(document, dict) and isinstance(document.get("errors"), list):
        entries += document["errors"]
    return [entry for entry in entries if isinstance(entry, dict) and entry.get("message")]


def _fill_in(entry: dict[str, Any]) -> str:
    parameters = entry.get("parameters") or {}
    if isinstance(parameters, list):
        parameters = {str(position): value for position, value in enumerate(parameters, start=1)}
    values = parameters if isinstance(parameters, dict) else {}
    return _PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), str(entry["message"]))
