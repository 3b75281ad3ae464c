"""Makes the replies of the simulated API: the documented ones, and those of gateways that go wrong.

The facts come from the "Shipments" API pages (PRO v2). A comment says so where a detail is made up here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, assert_never
from uuid import uuid4

from worker.simulator.faults import CallFault, Faults
from worker.simulator.groups import Group, State
from worker.simulator.script import DROPPED, Answer, Endpoint, Reply

TARGET: dict[Endpoint, State] = {"close": "closed", "lock": "locked", "unlock": "open"}

# The API page says only "a child code for processing". This name is made up, so nothing should depend on it.
PROCESSING_CODE = "shipment_group_processing"

UNCHANGED = Reply(304)
PROXY_PAGE = b"<!doctype html><title>Simulated proxy</title><h1>Please sign in to the network</h1>"
MAINTENANCE_PAGE = b"<!doctype html><title>503</title><h1>Service Unavailable (simulated)</h1>"


def _json(status: int, content: object, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(content).encode(), headers=headers)


def error(status: int, code: str, message: str, child: str = "", subject: str = "") -> Reply:
    """Return the documented error body.

    `child`: the code of its one detail, "" for no detail. `subject`: the property that this detail is about.
    """
    details = [{"property": subject, "code": child, "message": message}] if child else []
    body = {"correlation_id": str(uuid4()), "code": code, "message": message, "details": details}
    return _json(status, {**body, "_links": None})


def check_headers(headers: Mapping[str, str], api_key: str | None) -> Reply | None:
    """Return the refusal for these headers, None if they are right (API page, authentication and versions)."""
    given = headers.get("x-api-key")
    if not given or (api_key is not None and given != api_key):
        return error(401, "unauthorised", "The API key is missing or wrong")
    if not headers.get("x-api-version"):
        return error(400, "validation_error", "A header is missing", "header_required", "x-api-version")
    return None


def refusal(group: Group, call: int, faults: Faults) -> Reply | None:
    """Return what a group's own fault answers to its call, at any endpoint; None if the call goes on."""
    match group.fault:
        case "gone":
            return error(410, "gone", f"Shipment group {group.reference} was removed")
        case "forbidden":
            return error(403, "forbidden", "This account may not do that")
        case "missing":
            return error(404, "not_found", f"Shipment group {group.reference} was not found")
        case "processing_404" if call <= faults.processing_calls:
            message = f"Shipment group {group.reference} is still being processed"
            return error(404, "not_found", message, PROCESSING_CODE, "reference")
        case "processing_404" | "unlocked" | "already_closed" | None:
            return None
        case _:
            assert_never(group.fault)


def change(group: Group, endpoint: Endpoint, base_url: str) -> Reply:
    """Close, lock or unlock the group, and return the reply (the API pages of these endpoints).

    200: done now. 304: the group is in that state already. 409: it cannot get into that state from its own.
    """
    target = TARGET[endpoint]
    if group.state == target:
        return UNCHANGED
    if group.state == "closed" or (group.state == "open" and target == "closed"):
        message = f"Shipment group {group.reference} is {group.state}: it cannot become {target}"
        return error(409, "conflict", message, "invalid_state_for_operation", "state")
    group.move(target, datetime.now(UTC))
    done = {"closed": "closed", "locked": "locked", "open": "unlocked"}[target]
    return _json(200, resource_result(group, done, base_url))


def resource_result(group: Group, done: str, base_url: str) -> dict[str, Any]:
    """Return the documented body of a success. Its link works here."""
    href = f"{base_url}/shipment_groups/{group.reference}"
    return {
        "reference": group.reference,
        "custom_reference": group.custom_reference,
        "message": f"Shipment group {group.reference} has been {done} successfully",
        "_links": [{"href": href, "rel": "self", "reference": group.reference, "type": "shipment_group"}],
    }


def describe(group: Group) -> Reply:
    """Return the shipment group object (API page, get shipment group). Our groups hold one shipment."""
    record = group.as_json()
    shown = ("reference", "custom_reference", "version", "state", "created", "locked", "closed")
    shipments = ["sp_" + group.reference.removeprefix("sg_")]
    return _json(200, {**{key: record[key] for key in shown}, "shipments": shipments})


def faulty(fault: CallFault, faults: Faults) -> Answer:
    """Return the answer to a call with this fault. The API documents none of these; gateways and proxies send them."""
    match fault:
        case "error_500":
            return error(500, "internal_server_error", "Something went wrong (simulated)")
        case "error_503_html":
            return Reply(503, MAINTENANCE_PAGE, "text/html")
        case "throttle_429":
            headers = None if faults.retry_after_s is None else {"Retry-After": str(faults.retry_after_s)}
            return _json(429, {"message": "Too many requests"}, headers)
        case "cut_before" | "cut_after":
            return DROPPED
        case "unusable_200":
            return Reply(200, PROXY_PAGE, "text/html")
        case _:
            assert_never(fault)
