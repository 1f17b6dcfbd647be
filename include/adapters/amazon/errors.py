"""Reads Amazon's error answers."""

from __future__ import annotations

import re
from typing import Any

from include.adapters.http import Refusal

_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")

# Error codes of RFC 6749 that Login with Amazon uses; all are permanent.
LOGIN_REMEDIES = {
    "invalid_grant": "the seller's authorization was revoked or is of another application: authorize again and set the "
    "new refresh_token",
    "invalid_client": "client_id or client_secret is invalid, or the secret was rotated (it lives 180 days): set both",
    "unauthorized_client": "the application may not use this authorization: set client_id, client_secret and "
    "refresh_token of one application",
}


def explain(status: int, document: Any) -> Refusal:
    """Code and message of Amazon's first error. They speak of our own parameters, which hold no personal data."""
    errors = document.get("errors") if isinstance(document, dict) else None
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    code = str(first.get("code") or "").replace(" ", "")  # the examples of ordersV0.json have "Invalid Input"
    message = " ".join(str(first.get("message") or "").split())[:300]
    return Refusal(code, message) if _ERROR_CODE.fullmatch(code) else Refusal(str(status))


def explain_login(status: int, document: Any) -> Refusal:
    """The error code of Login with Amazon."""
    code = document.get("error") if isinstance(document, dict) else None
    return Refusal(code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else str(status))
