"""What the simulator's tests share: one group's addresses, the right headers, how a documented error looks."""

from __future__ import annotations

import httpx

REFERENCE = "sg_00684650028894794889609836494848"
HEADERS = {"x-api-key": "secret", "x-api-version": "1.1", "Accept": "application/json"}
CLOSE = f"/shipment_groups/{REFERENCE}/close"
GET = f"/shipment_groups/{REFERENCE}"
DROPPED = (httpx.RemoteProtocolError, httpx.ReadError)
LIMIT_S = 20.0
IMPATIENT = httpx.Timeout(LIMIT_S, read=0.05)


def assert_error(reply: httpx.Response, status: int, code: str, child: str | None = None) -> None:
    """The reply is the documented error body with this code and child code."""
    body = reply.json()
    assert (reply.status_code, body["code"]) == (status, code)
    assert list(body) == ["correlation_id", "code", "message", "details", "_links"]
    assert [detail["code"] for detail in body["details"]] == ([child] if child else [])
