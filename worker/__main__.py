"""`python -m worker` is the console script `closer`."""

from worker.cli.main import main

main()
