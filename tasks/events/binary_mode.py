"""CloudEvents 1.0 in binary mode: attributes and data apart. It is made one JSON document, as in structured mode."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping


def structured(attributes: Mapping[str, str], data: bytes) -> bytes:
    """The same event in structured mode; without data where there are no bytes of it.

    Data that are text stay text, so that people can read them; `group_named` reads them as what they hold. An attribute
    `data`, which must not be, stands beside the data and so makes the event ambiguous, not silently another one.
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
