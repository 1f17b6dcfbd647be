"""Runs the sandbox until SIGTERM or SIGINT: `python -m local.sandbox --state-dir DIR`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

from local.sandbox.clock import SandboxClock
from local.sandbox.scenario import build
from local.sandbox.servers import Sandbox


def main(arguments: list[str] | None = None) -> int:
    """Run both servers on the scenario. Returns the exit status: 0 after a signal, 1 if it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m local.sandbox", description=__doc__)
    parser.add_argument("--amazon-port", type=int, default=8801, help="0 takes any free port")
    parser.add_argument("--commerce-port", type=int, default=8802, help="0 takes any free port")
    parser.add_argument(
        "--state-dir", type=Path, help="save the state in this folder and continue from it at the next start"
    )
    parser.add_argument(
        "--start-minutes-ago", type=int, default=0, help="at the first start, set the clock so far back (default: 0)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    options = parser.parse_args(arguments)
    stopped = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopped.set())
    try:
        sandbox = Sandbox(
            build,
            clock=SandboxClock(-timedelta(minutes=options.start_minutes_ago)),
            state_dir=options.state_dir,
            amazon_port=options.amazon_port,
            commerce_port=options.commerce_port,
            host=options.host,
        )
        with sandbox:
            print(f"Amazon:   {sandbox.amazon_url}", flush=True)
            print(f"Commerce: {sandbox.commerce_url}", flush=True)
            stopped.wait()
    except OSError as error:
        print(f"The sandbox cannot start: {error}. Resolution: free the port, or choose others.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
