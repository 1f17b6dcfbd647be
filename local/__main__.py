"""Runs this project on one machine: `python -m local env|demo|up|down|clean|docs`. The Makefile calls it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from local import environment, postgres


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("command", choices=["env", "demo", "up", "down", "clean", "docs"])
    command = parser.parse_args(arguments).command
    checkout = environment.CHECKOUT
    if command == "env":
        try:
            was_running = postgres.is_running(environment.database_dir(checkout))
            print(environment.exports(environment.compute(checkout, os.environ)), end="")
            if not was_running and postgres.is_running(environment.database_dir(checkout)):
                print("==> The embedded database has been started. `make down` stops it.", file=sys.stderr)
        except (postgres.EmbeddedPostgresError, OSError, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        return 0

    if command == "docs":
        from local import documents

        for path in documents.write(checkout):
            print(path.relative_to(checkout))
        return 0

    from local import demo  # here, because `env` does not need it and it is slow to import

    if command in {"demo", "up"}:
        return demo.main(checkout, os.environ, keep_running=command == "up")
    try:
        demo.down(checkout)
        if command == "clean":
            postgres.remove_state(checkout)
            shutil.rmtree(environment.data_dir(checkout), ignore_errors=True)
    except (postgres.EmbeddedPostgresError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
