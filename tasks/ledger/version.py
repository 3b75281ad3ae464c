"""The version of the ledger: how its records, signs of life and gate look, and what they ask of whoever reads them.

It rises with a release that writes what the release before would not read or respect. The ledger's own version stands
in the hashes `policy` and `gate`; a program that knows less refuses to work with it. It rises when no worker of an
earlier version is alive any more (`lua/heartbeat.lua`); until then the newer ones write what the earlier ones read.

0  every release before versions; they do not know the refusal either
1  notices, versions
"""

LEDGER_VERSION = 1
OLDEST_BESIDE = 1  # the earliest version whose workers may run while workers of LEDGER_VERSION do
