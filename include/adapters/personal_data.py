"""Personal documents go in, Fernet tokens come out, and back: the only place that knows ORDERS_PII_KEYS."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import simplejson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from include.domain.errors import MisconfiguredError, UndecryptableError

_MAKE_A_KEY = (
    'make a key with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())", '
    "and set it in the environment of every Airflow component that runs tasks or pages"
)


class PersonalDataCipher:
    """Encrypts with the first key, decrypts with any: a new key is put in front, an old one stays until it is unused.

    Raises MisconfiguredError when there is no key or one of them is not a Fernet key (the message never shows a key).
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise MisconfiguredError(
                f"ORDERS_PII_KEYS is not set; personal data cannot be stored. Resolution: {_MAKE_A_KEY}."
            )
        ciphers = []
        for number, key in enumerate(keys, start=1):
            try:
                ciphers.append(Fernet(key))
            except ValueError:
                raise MisconfiguredError(
                    f"ORDERS_PII_KEYS: key {number} of {len(keys)} is not a Fernet key. Resolution: {_MAKE_A_KEY}."
                ) from None
        self._fernet = MultiFernet(ciphers)

    def encrypt(self, document: dict[str, Any]) -> bytes:
        """The Fernet token of a JSON document; Decimals keep every digit."""
        # ASCII escapes keep lone surrogates, which Amazon can send and UTF-8 cannot carry.
        return self._fernet.encrypt(simplejson.dumps(document, use_decimal=True, ensure_ascii=True).encode("ascii"))

    def decrypt(self, token: bytes) -> dict[str, Any]:
        """The document of a token, fractions as Decimal. Raises UndecryptableError when no key opens it."""
        try:
            text = self._fernet.decrypt(token)
        except InvalidToken:
            raise UndecryptableError(
                "Stored personal data cannot be decrypted with ORDERS_PII_KEYS: a key was removed too early, or the "
                "keys are of another installation. Resolution: put the missing key back at the end of ORDERS_PII_KEYS."
            ) from None
        document: dict[str, Any] = json.loads(text, parse_float=Decimal)
        return document
