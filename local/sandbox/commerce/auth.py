"""Authenticates callers of the local Commerce by an OAuth 1.0a signature (RFC 5849, HMAC-SHA256) or a bearer token.

Rules: https://developer.adobe.com/commerce/webapi/get-started/authentication/gs-authentication-oauth/ and
.../gs-authentication-token/ (since 2.4.4 a shop must allow integration tokens as bearer tokens; this one does).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from oauthlib.oauth1.rfc5849.signature import base_string_uri
from oauthlib.oauth1.rfc5849.utils import escape, parse_authorization_header, unescape

from local.sandbox.seeds import CommerceSeed

TIMESTAMP_WINDOW = timedelta(seconds=600)


class Gate:
    """Admits one integration. Remembers nonces. Uses real time, because callers sign with real clocks."""

    def __init__(self, seed: CommerceSeed) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._nonces: dict[tuple[str, str], datetime] = {}

    def admits(self, method: str, url: str, query: Sequence[tuple[str, str]], authorization: str) -> bool:
        """Whether a request is authenticated.

        `url` is the absolute URL as sent, without query; `query` are its decoded pairs; `authorization` is the header.
        """
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(credentials.strip().encode(), self._seed.access_token.encode())
        if scheme.lower() == "oauth":
            return self._signed(method, url, query, authorization)
        return False

    def _signed(self, method: str, url: str, query: Sequence[tuple[str, str]], authorization: str) -> bool:
        try:
            pairs = [(name, unescape(value)) for name, value in parse_authorization_header(authorization)]
        except ValueError:
            return False
        header = dict(pairs)
        if (
            header.get("oauth_consumer_key") != self._seed.consumer_key
            or header.get("oauth_token") != self._seed.access_token
            or header.get("oauth_signature_method") != "HMAC-SHA256"
            or header.get("oauth_version", "1.0") != "1.0"
        ):
            return False
        signed = [*query, *(pair for pair in pairs if pair[0] not in ("realm", "oauth_signature"))]
        parameters = "&".join(f"{name}={value}" for name, value in sorted((escape(n), escape(v)) for n, v in signed))
        base = "&".join((method.upper(), escape(base_string_uri(url)), escape(parameters)))
        key = f"{escape(self._seed.consumer_secret)}&{escape(self._seed.access_token_secret)}"
        expected = base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha256).digest())
        given = header.get("oauth_signature", "").encode()
        return hmac.compare_digest(expected, given) and self._fresh(header)

    def _fresh(self, header: dict[str, str]) -> bool:
        stamp, nonce = header.get("oauth_timestamp", ""), header.get("oauth_nonce", "")
        if not nonce or not stamp.isdigit():
            return False
        now = datetime.now(UTC)
        if abs(now.timestamp() - int(stamp)) > TIMESTAMP_WINDOW.total_seconds():
            return False
        with self._lock:
            self._nonces = {key: seen for key, seen in self._nonces.items() if now - seen <= 2 * TIMESTAMP_WINDOW}
            if (nonce, stamp) in self._nonces:
                return False
            self._nonces[nonce, stamp] = now
            return True
