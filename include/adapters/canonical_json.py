"""One text and one SHA-256 for equal JSON documents: what tells versions of a document apart."""

from __future__ import annotations

import hashlib
from typing import Any

import simplejson


def canonical_json(document: Any) -> str:
    """JSON with sorted keys, no spaces and ASCII only; Decimals keep every digit. Equal documents give equal texts."""
    return simplejson.dumps(document, use_decimal=True, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def sha256_of(document: Any) -> str:
    """SHA-256 (hex) of a document's canonical JSON."""
    return hashlib.sha256(canonical_json(document).encode("ascii")).hexdigest()
