"""Which endpoint of the API a request is for: a pure function of its method and path."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from worker.simulator.script import Endpoint


class Route(NamedTuple):
    """Where a request goes. `reference` is the path when the endpoint is "other", which `status` answers then."""

    endpoint: Endpoint
    reference: str
    version: str = ""
    status: int = 404


def route(method: str, path: str, base_path: str) -> Route:
    """The route of a request. A known path with another method is answered 405, any other path 404."""
    groups = f"{base_path}/shipment_groups/"
    parts = [unquote(part) for part in path.removeprefix(groups).split("/")]
    match parts if path.startswith(groups) and all(parts) else []:
        case [reference, ("close" | "lock" | "unlock") as change]:
            found = Route(change, reference)
        case [reference]:
            found = Route("get", reference)
        case ["custom_reference", custom_reference, version]:
            found = Route("get_custom", custom_reference, version)
        case _:
            return Route("other", path)
    allowed = ("GET", "HEAD") if found.endpoint in ("get", "get_custom") else ("POST",)
    return found if method in allowed else Route("other", path, status=405)
