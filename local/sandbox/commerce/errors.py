"""Errors of the local Commerce, as in Magento's REST API: a status, and JSON with a message and its parameters.

Shape: definition error-response of Adobe's OpenAPI document 2.4.9. `%1` refers to a list, `%name` to a map.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

Parameters = list[Any] | dict[str, Any]


class CommerceRefusal(Exception):
    """A request that Commerce refuses: HTTP status, message with placeholders, and their values."""

    def __init__(
        self,
        status: int,
        message: str,
        parameters: Parameters | None = None,
        errors: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.parameters = parameters
        self.errors = list(errors)

    def body(self) -> bytes:
        """The JSON of the answer."""
        content: dict[str, Any] = {"message": self.message}
        if self.errors:
            content["errors"] = self.errors
        if self.parameters:
            content["parameters"] = self.parameters
        return json.dumps(content, ensure_ascii=False).encode()


def unauthorized(resource: str) -> CommerceRefusal:
    """Wrong credentials and a missing right give the same answer."""
    return CommerceRefusal(401, "The consumer isn't authorized to access %resources.", {"resources": resource})


def no_such_route() -> CommerceRefusal:
    return CommerceRefusal(404, "Request does not match any route.")


def no_such_entity() -> CommerceRefusal:
    return CommerceRefusal(404, "The entity that was requested doesn't exist. Verify the entity and try again.")


def required(fields: Sequence[str]) -> CommerceRefusal:
    """The refusal for missing fields or arguments. Several of them are listed under `errors`."""
    message = '"%fieldName" is required. Enter and try again.'
    if len(fields) == 1:
        return CommerceRefusal(400, message, {"fieldName": fields[0]})
    errors = [{"message": message, "parameters": {"fieldName": field}} for field in fields]
    return CommerceRefusal(400, "One or more input exceptions have occurred.", errors=errors)


def bad_type(value: object, expected: str) -> CommerceRefusal:
    """The refusal for a value of the wrong JSON type. Objects are not repeated: they may contain personal data."""
    shown = "Array" if isinstance(value, (dict, list)) else str(value)
    message = 'The "%1" value\'s type is invalid. The "%2" type was expected. Verify and try again.'
    return CommerceRefusal(400, message, [shown, expected])


def internal_error() -> CommerceRefusal:
    """What a failed database statement looks like from outside: the cause is not disclosed."""
    report = f"webapi-{uuid.uuid4().hex[:13]}"
    return CommerceRefusal(500, f"Internal Error. Details are available in Magento log file. Report ID: {report}")
