"""The running process: intake, dispatch, attempts, store and broker; and the operations and the command line."""
