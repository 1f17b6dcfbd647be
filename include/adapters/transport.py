"""The transport under every HTTP client: a whole answer arrives within its size and its time, or not at all.

httpx limits each wait for bytes, not their sum, and decodes whatever a few compressed bytes expand to: a dripping
answer would never end and a small one could fill the memory. Here both are bounded before anybody sees the answer.
"""

from __future__ import annotations

import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

# A full page of Amazon's listing (100 orders of about 10 KB) is 1 MB, a page of Commerce's searches less; the gateways
# in front of such APIs end at 10 MB. JSON of this size still parses within a worker's memory.
LARGEST_ANSWER = 32 * 2**20
_PIECE = 2**18

_deadline: ContextVar[float] = ContextVar("deadline")  # of time.monotonic(), for the request that is under way


class UnusableAnswerError(httpx.RequestError):
    """An answer began and is not used: too large, too slow, or encoded in a way that was not asked for."""

    def __init__(self, message: str, status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code


class BoundedTransport(httpx.HTTPTransport):
    """Sends a request and reads and decodes the whole answer, in `total` seconds at the most.

    Raises UnusableAnswerError beside httpx's own errors.
    """

    def __init__(self, *, total: float, largest: int = LARGEST_ANSWER, **options: Any) -> None:
        super().__init__(**options)
        self._total = total
        self._largest = largest
        # httpx has no parameter for it. A test with a server that drips its headers proves that it is in use.
        self._pool._network_backend = _Backend(self._pool._network_backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, its body in memory and decoded."""
        deadline = time.monotonic() + self._total
        token = _deadline.set(deadline)
        status: int | None = None
        try:
            response = super().handle_request(request)
            status = response.status_code
            try:
                return self._whole(response, deadline)
            finally:
                response.close()
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            if time.monotonic() < deadline:
                raise
            raise self._too_slow(status) from None
        finally:
            _deadline.reset(token)

    def _whole(self, response: httpx.Response, deadline: float) -> httpx.Response:
        status = response.status_code
        decoder = _decoder(response)
        body = bytearray()
        read_count = 0
        assert isinstance(response.stream, httpx.SyncByteStream)
        for chunk in filter(None, response.stream):
            read_count += len(chunk)
            try:
                for piece in decoder.decode(chunk):
                    body += piece
                    if max(read_count, len(body)) > self._largest:
                        raise UnusableAnswerError(f"the answer is larger than {self._largest // 2**20} MB", status)
            except zlib.error:
                raise UnusableAnswerError("the answer cannot be decoded", status) from None
            if time.monotonic() >= deadline:
                raise self._too_slow(status)
        if not decoder.is_complete:
            raise UnusableAnswerError("the answer cannot be decoded", status)
        gone = {b"content-encoding", b"content-length"}
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in gone]
        return httpx.Response(
            status, headers=headers, stream=httpx.ByteStream(bytes(body)), extensions=response.extensions
        )

    def _too_slow(self, status: int | None) -> UnusableAnswerError:
        return UnusableAnswerError(f"the answer was not complete after {self._total:g} s", status)


class _Plain:
    """An answer that is not encoded."""

    is_complete = True

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """The chunk itself."""
        yield chunk


class _Zlib:
    """gzip or deflate, unpacked piece by piece whatever a chunk expands to."""

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._inflate: zlib._Decompress | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the stream has ended; an answer without a body has none."""
        return self._inflate is None or self._inflate.eof

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """The next decoded bytes. Raises zlib.error for what is no such stream, and for anything behind its end."""
        if self._inflate is None:
            # Of deflate, some servers send the bare stream without zlib's frame, whose first byte ends in 8.
            is_framed = chunk[0] & 0x0F == 8
            self._inflate = zlib.decompressobj(31 if self._is_gzip else 15 if is_framed else -15)
        piece = b""
        while chunk or len(piece) == _PIECE:
            piece = self._inflate.decompress(chunk, _PIECE)
            chunk = self._inflate.unconsumed_tail
            if self._inflate.unused_data:
                raise zlib.error("more than one stream")
            yield piece


def _decoder(response: httpx.Response) -> _Plain | _Zlib:
    """The decoder of the one encoding that an answer may have; nested ones multiply what a few bytes expand to."""
    named = response.headers.get_list("content-encoding", split_commas=True)
    encodings = [name for name in (name.strip().lower() for name in named) if name not in ("", "identity")]
    if not encodings:
        return _Plain()
    if len(encodings) > 1 or encodings[0] not in ("gzip", "x-gzip", "deflate"):
        raise UnusableAnswerError("the answer is encoded in a way that was not asked for", response.status_code)
    return _Zlib(is_gzip=encodings[0] != "deflate")


class _Backend(httpcore.NetworkBackend):
    """Shortens every wait to what is left until the deadline of the request that is under way."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect; the name is looked up by the system, in its own time."""
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._backend.connect_tcp(host, port, left, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    """The same for a connection."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, error: type[Exception]) -> float | None:
    deadline = _deadline.get(None)
    if deadline is None:  # closing a connection outside a request
        return timeout
    left = deadline - time.monotonic()
    if left <= 0:
        raise error("the time for the whole answer is over")
    return left if timeout is None else min(timeout, left)


def proxy_for(url: httpx.URL) -> str | None:
    """The proxy that the environment names for this address (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY)."""
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
