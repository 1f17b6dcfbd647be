"""Reads Commerce's error documents: status and JSON come in; a code and words that cannot name the buyer go out.

Shape (openapi-admin-2.4.9, `error-response`): `message` with %1 or %name in it, `parameters` as list or map, `errors`
with more of the same. Commerce fills its parameters, and modules their messages, with what was sent: a name, a street.
So no text of Commerce's is kept as it is. See refusals.py for the causes that we know; of any other, a template whose
values are in its parameters is kept, without them. Free text is not: a digest stands for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from typing import Any

from include.adapters.commerce.refusals import ORDINARY_WORDS, known_cause
from include.adapters.http import Refusal

_LONGEST = 300
_PLACEHOLDER = re.compile(r"%(\w+)")
_PLAIN = re.compile(r"""[A-Za-z\s'".,:;!?()/_-]*""")
_WORD = re.compile(r"[^\W\d_]+")
_VALUE = re.compile(r'"[^"]*"|\d[\d\s./-]*')
_DUPLICATE = re.compile(r"unique|duplicate", re.IGNORECASE)


def explain(status: int, document: Any, personal: Collection[str] | None = None) -> Refusal:
    """A refusal (4xx): its code is `duplicate` when a unique key is taken, else the HTTP status.

    `personal` has every text of the order's buyer and recipient; None: unknown, and only causes that we know are kept.
    The cause of a refusal is a digest of what is kept of it, and of the rest without numbers and quoted values.
    """
    words = {word for text in personal or () for word in _words(text)}
    kept: list[str] = []
    rest: list[str] = []
    is_duplicate = False
    for message, parameters in _entries(document):
        is_duplicate = is_duplicate or bool(_DUPLICATE.search(message))
        if personal is not None and (template := _template(message, parameters, words)):
            kept.append(known_cause(message, parameters) or template)
            continue
        for line in filter(None, map(str.strip, message.splitlines())):
            cause = known_cause(line, parameters)
            (kept if cause else rest).append(cause or _without_values(line, words))
    kept = list(dict.fromkeys(kept))
    code = "duplicate" if is_duplicate else str(status)
    if rest:
        what = "more, which is" if kept else "a reason that is"
        kept.append(
            f"it gave {what} not stored because it may quote the buyer (HTTP {status}, text {_digest(*rest)[:8]})"
        )
    return Refusal(code, "; ".join(kept)[:_LONGEST] or "no message", _digest(code, *kept))


def _entries(document: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """The messages of an error document, each with its parameters by the names of their placeholders."""
    entries = [document]
    if isinstance(document, dict) and isinstance(document.get("errors"), list):
        entries += document["errors"]
    for entry in entries:
        if isinstance(entry, dict) and entry.get("message"):
            given = entry.get("parameters")
            if isinstance(given, list):
                given = {str(position): value for position, value in enumerate(given, start=1)}
            values = given if isinstance(given, dict) else {}
            yield str(entry["message"]), {name: str(value) for name, value in values.items()}


def _template(message: str, parameters: dict[str, str], personal: Collection[str]) -> str | None:
    """`message` with [name] for each parameter, if it is a template with nothing of the buyer's in it; else None."""
    names = _PLACEHOLDER.findall(message)
    around = _PLACEHOLDER.sub(" ", message)
    if not names or not set(names) <= set(parameters) or not _PLAIN.fullmatch(around):
        return None
    if (_words(around) - ORDINARY_WORDS) & set(personal):
        return None
    return " ".join(_PLACEHOLDER.sub(r"[\1]", message).split())


def _words(text: str) -> set[str]:
    """The words of a text in one case, and all of it as one word: names are written together, too."""
    found = _WORD.findall(text.casefold())
    return {*found, "".join(found)} - {""}


def _without_values(line: str, personal: Collection[str]) -> str:
    """What a line of text has in common for all buyers: to be hashed, not to be shown."""
    kept = _WORD.findall(_VALUE.sub(" ", line).casefold())
    return " ".join(word for word in kept if word not in personal)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:16]
