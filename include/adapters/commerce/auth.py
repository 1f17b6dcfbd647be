"""Authorizes requests to Adobe Commerce: an Airflow connection's extra comes in, an `httpx.Auth` goes out.

Three ways (https://developer.adobe.com/commerce/webapi/get-started/authentication/, checked 2026-11): OAuth 1.0a
signatures with the four credentials of an integration, an integration's access token as bearer token, and Adobe IMS
client credentials for the SaaS edition.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping
from typing import Any

import httpx
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA256, Client

from include.adapters.api_calls import CallRecorder
from include.adapters.http import NotAuthorizedError, Timeouts, check_base_url, exchange, open_client
from include.domain.errors import MisconfiguredError, RefusedError, UnavailableError

USER_AGENT = "amazon-commerce-orders/1"

_KEYS = {
    "oauth1": ("consumer_key", "consumer_secret", "access_token", "access_token_secret"),
    "bearer": ("access_token",),
    "ims": ("token_url", "client_id", "client_secret", "org_id"),
}
# What Adobe's guide asks for in server-to-server calls; the key `scope` of the extra replaces it.
_IMS_SCOPE = "openid,AdobeID,email,profile,additional_info.roles,additional_info.projectedProductContext,commerce.accs"
_IMS_EARLY_SECONDS = 300.0


def build_auth(extra: Mapping[str, str], connection: str, *, record: CallRecorder, timeouts: Timeouts) -> httpx.Auth:
    """The authorization that `extra` of the Airflow connection `connection` describes.

    `extra["auth"]` is oauth1 (default), bearer or ims; `record` and `timeouts` are for ims, which asks for tokens.
    Raises MisconfiguredError that names unknown or missing keys, never their values.
    """
    kind = extra.get("auth") or "oauth1"
    if kind not in _KEYS:
        raise MisconfiguredError(
            f"Connection {connection}: the extra has an unknown auth. Resolution: use one of {', '.join(_KEYS)}."
        )
    missing = [key for key in _KEYS[kind] if not extra.get(key)]
    if missing:
        raise MisconfiguredError(
            f"Connection {connection}: the extra lacks {', '.join(missing)}, which auth {kind} needs. "
            "Resolution: take them from the integration in the Commerce admin (ims: from Adobe's Developer Console)."
        )
    values = {key: extra[key] for key in _KEYS[kind]}
    if kind == "oauth1":
        return OAuth1(**values)
    if kind == "bearer":
        return Bearer(**values)
    check_base_url(values["token_url"], connection)
    return ImsClientCredentials(
        **values, scope=extra.get("scope") or _IMS_SCOPE, connection=connection, record=record, timeouts=timeouts
    )


class OAuth1(httpx.Auth):
    """Signs each request anew (RFC 5849, HMAC-SHA256, header form): Commerce refuses a nonce that it has seen."""

    def __init__(self, consumer_key: str, consumer_secret: str, access_token: str, access_token_secret: str) -> None:
        self._signer = Client(
            consumer_key,
            client_secret=consumer_secret,
            resource_owner_key=access_token,
            resource_owner_secret=access_token_secret,
            signature_method=SIGNATURE_HMAC_SHA256,
        )

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the signature over method, URL and query. A JSON body is not part of it."""
        _, headers, _ = self._signer.sign(str(request.url), http_method=request.method)  # type: ignore[arg-type]
        request.headers["Authorization"] = headers["Authorization"]
        yield request


class Bearer(httpx.Auth):
    """An integration's access token as bearer token; since 2.4.4 a shop must allow this in its settings."""

    def __init__(self, access_token: str) -> None:
        self._header = f"Bearer {access_token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token."""
        request.headers["Authorization"] = self._header
        yield request


class ImsClientCredentials(httpx.Auth):
    """Access tokens of Adobe IMS, kept until five minutes before they end; threads share one.

    A 401 of the shop did nothing there: the token is fetched anew once and the request sent again.
    """

    def __init__(
        self,
        *,
        token_url: str,
        client_id: str,
        client_secret: str,
        org_id: str,
        scope: str,
        connection: str,
        record: CallRecorder,
        timeouts: Timeouts,
    ) -> None:
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._org_id = org_id
        self._scope = scope
        self._connection = connection
        self._record = record
        self._timeouts = timeouts
        self._lock = threading.Lock()
        self._token = ""
        self._good_until = 0.0  # on the monotonic clock

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add token, client id and organization. Raises MisconfiguredError, ThrottledError or UnavailableError."""
        request.headers["x-api-key"] = self._client_id
        request.headers["x-gw-ims-org-id"] = self._org_id
        token = self._current("")
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:
            response.read()
            request.headers["Authorization"] = f"Bearer {self._current(token)}"
            yield request

    def _current(self, refused: str) -> str:
        """A token that is not `refused`. One thread fetches, the others wait for it."""
        with self._lock:
            if self._token == refused or time.monotonic() >= self._good_until:
                self._token, lifetime = self._fetch()
                self._good_until = time.monotonic() + max(lifetime - _IMS_EARLY_SECONDS, lifetime / 2)
            return self._token

    def _fetch(self) -> tuple[str, float]:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "scope": self._scope,
        }
        subject = f"connection {self._connection}"
        try:
            with open_client(
                self._token_url, connection=self._connection, timeouts=self._timeouts, user_agent=USER_AGENT
            ) as client:
                answer = exchange(
                    client,
                    client.build_request("POST", self._token_url, data=form),
                    system="commerce",
                    connection=self._connection,
                    operation="imsToken",
                    is_write=False,  # a token that was made and lost harms nobody
                    record=self._record,
                    subject=subject,
                )
        except (NotAuthorizedError, RefusedError) as error:
            raise MisconfiguredError(
                f"commerce imsToken of {subject}: Adobe IMS refused the client credentials ({error.code}). Resolution: "
                "check token_url, client_id, client_secret and scope in the extra against Adobe's Developer Console."
            ) from None
        document: Any = answer.document
        try:
            return str(document["access_token"]), float(document.get("expires_in", 3600))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UnavailableError(
                f"commerce imsToken of {subject}: the answer holds no usable token. Resolution: it is tried again."
            ) from None
