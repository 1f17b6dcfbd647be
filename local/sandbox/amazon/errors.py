"""How Amazon refuses a request: the error list of orders_2026-01-01.json and ordersV0.json."""

from __future__ import annotations

import json


class Refusal(Exception):
    """An answer of the API that is not a success: HTTP status, Amazon's error code, message and details."""

    def __init__(self, status: int, code: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    def body(self) -> bytes:
        """The JSON body `{"errors": [...]}`."""
        error = {"code": self.code, "message": self.message, "details": self.details}
        return json.dumps({"errors": [error]}).encode()


def invalid(message: str) -> Refusal:
    """400: a parameter or a field breaks a rule."""
    return Refusal(400, "InvalidInput", message)


def unauthorized(details: str) -> Refusal:
    """403: the token is missing, unknown or expired, or the marketplace is not the seller's."""
    return Refusal(403, "Unauthorized", "Access to requested resource is denied.", details)


def not_found(order_id: str) -> Refusal:
    """404: no such order, or an order of another seller."""
    return Refusal(404, "NotFound", f"Order {order_id} was not found.")


def quota_exceeded() -> Refusal:
    """429: the operation's token bucket is empty."""
    return Refusal(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")


def expired_token() -> Refusal:
    """403: the access token's hour is over. Amazon answers 403 here, not 401."""
    return unauthorized("The access token you provided has expired.")
