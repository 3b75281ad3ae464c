"""What a client or a server says is told in plain words, with what to do, also what no test can have in earnest."""

from __future__ import annotations

import pytest

from worker.operations.finding import Finding
from worker.operations.reach import Place, unreachable

PLACES = {
    "store": Place("store", "redis://h:1/0", "CLOSER_REDIS_URL"),
    "api": Place("api", "https://h/pro", "CLOSER_API_BASE_URL"),
}
SAID = {
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired": (
        "its certificate has expired", "have it renewed"
    ),
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, not valid for 'h'": (
        "its certificate is for another name", "as its certificate does"
    ),
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate": (
        "not from an authority that is trusted here", "SSL_CERT_FILE"
    ),
    "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca": ("or refuses ours", "cert"),
    "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure": ("demands a client certificate", "cert"),
    "Error -3 connecting to h:1. Temporary failure in name resolution.": ("its name has no address", "DNS"),
    "MovedError: 1234 10.0.0.1:6379": ("it is a cluster", "name a single primary"),
    "CLUSTERDOWN Hash slot not served": ("it is a cluster", "name a single primary"),
    "DENIED Redis is running in protected mode because protected mode is enabled": ("protected mode", "set a password"),
    "PermissionError: [Errno 13] Permission denied": ("this user may not open its socket", "run closer as"),
    "OSError: [Errno 113] No route to host": ("there is no way to it from here", "this machine's network"),
    "Timeout connecting to server": ("it does not answer in time", "firewall"),
    "TimeoutError: ": ("it does not answer in time", "firewall"),
    "something quite new": ("it cannot be reached", "correct "),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("said", SAID)
def test_words(place: Place, said: str) -> None:
    """Each has its words and its remedy, without a placeholder left in it, and keeps what was said."""
    line = unreachable(place, said)
    message, remedy = SAID[said]
    assert line.finding is Finding.WRONG
    assert message in line.message
    assert f"({said.strip()})" in line.message
    assert remedy in (line.remedy or "")
    assert "{" not in (line.remedy or "")
