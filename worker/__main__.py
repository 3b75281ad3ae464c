"""The console script `closer` begins here, and so does `python -m worker`. Importing the rest takes a while."""

import sys

from worker import first_signals


def main() -> None:
    """Run a command and end with its exit code, see `worker.cli.main`."""
    first_signals.hold(sys.argv[1:])
    from worker.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
