"""The cipher of personal data: exact round trips, rotating keys, clear errors that show neither keys nor data."""

from __future__ import annotations

from decimal import Decimal

import pytest
from cryptography.fernet import Fernet

from include.adapters.personal_data import PersonalDataCipher
from include.domain.errors import MisconfiguredError

DOCUMENT = {
    "buyer": {"buyerName": "Żaneta 山田 😀", "broken": "\ud800", "zero": "\x00"},
    "amount": Decimal("10.10"),
    "tiny": Decimal("0.1000000000000000000000000001"),
    "count": 3,
    "none": None,
}


def test_document_is_restored_exactly_when_it_has_decimals_and_other_scripts() -> None:
    cipher = PersonalDataCipher([Fernet.generate_key().decode()])
    token = cipher.encrypt(DOCUMENT)
    opened = cipher.decrypt(token)
    assert opened == DOCUMENT
    assert str(opened["amount"]) == "10.10"
    assert isinstance(opened["tiny"], Decimal)
    assert b"buyer" not in token


def test_old_document_is_decrypted_when_a_new_key_was_put_in_front() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    token = PersonalDataCipher([old]).encrypt(DOCUMENT)
    rotated = PersonalDataCipher([new, old])
    assert rotated.decrypt(token) == DOCUMENT
    assert PersonalDataCipher([new]).decrypt(rotated.encrypt(DOCUMENT)) == DOCUMENT


def test_error_names_the_setting_when_the_key_was_removed_too_early() -> None:
    token = PersonalDataCipher([Fernet.generate_key().decode()]).encrypt(DOCUMENT)
    with pytest.raises(MisconfiguredError, match="ORDERS_PII_KEYS") as caught:
        PersonalDataCipher([Fernet.generate_key().decode()]).decrypt(token)
    assert token.decode() not in str(caught.value)
    assert caught.value.__suppress_context__


def test_error_says_how_to_make_a_key_when_there_is_none() -> None:
    with pytest.raises(MisconfiguredError, match=r"ORDERS_PII_KEYS is not set.*Fernet\.generate_key"):
        PersonalDataCipher([])


@pytest.mark.parametrize("bad", ["too-short", "ö" * 44, "A" * 44, ""])
def test_error_names_the_position_when_a_key_is_not_a_fernet_key(bad: str) -> None:
    with pytest.raises(MisconfiguredError, match="key 2 of 2 is not a Fernet key") as caught:
        PersonalDataCipher([Fernet.generate_key().decode(), bad])
    assert not bad or bad not in str(caught.value)
