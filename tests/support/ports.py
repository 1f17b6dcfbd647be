"""Ports for servers that must know their number before they start."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A free port below those that systems hand out on their own, so that no other program gets it meanwhile."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("No free port between 20000 and 31999.")
