"""The version of the ledger: the format of its records, heartbeats and gate, and the rules that readers must follow.

A release has a higher version when it writes what the release before would not read or respect. The ledger's own
version is in the hashes `policy` and `gate`, and a program that knows only lower ones refuses to work with it. It rises
when no worker of an earlier version is alive any more (`lua/heartbeat.lua`). Until then the newer workers write what
the earlier ones can read, so a rolling update is safe.

0  all releases before versions existed; they do not refuse a newer ledger
1  notices, versions
2  holds, times before which a group is not closed, and bulk actions that are followed and can be recalled
"""

LEDGER_VERSION = 2
OLDEST_BESIDE = 1  # the earliest version whose workers may run while workers of LEDGER_VERSION do
