"""Turns a CloudEvent 1.0 in binary mode into one in structured mode.

In binary mode attributes and data come apart; in structured mode they are one JSON document.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping


def structured(attributes: Mapping[str, str], data: bytes) -> bytes:
    """Return the same event in structured mode, as JSON. Without data bytes it has no data.

    `attributes`: the event's attributes by name. `data`: its bytes. Data that are text stay text, so that people can
    read them, and `group_named` reads what the text holds. Other data become `data_base64`. An attribute that is called
    `data` is not allowed; it is kept beside `data_base64`, so the event is ambiguous and rejected, never silently
    changed.
    """
    document = dict(attributes)
    if data:
        text = _text(data)
        if text is None or "data" in document:
            document["data_base64"] = base64.b64encode(data).decode()
        else:
            document["data"] = text
    return json.dumps(document).encode()


def _text(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
