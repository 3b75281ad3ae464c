"""Which notices become alerts, and in which words; and the drill that sends one of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tasks.history import iso
from tasks.ledger.notices import Notice, NoticeKind
from worker.operations.headline import Concern, Facts, concerns
from worker.operations.notice_words import words
from worker.operations.snapshot import Snapshot

_TEXT_MOST = 1000
# Mentions of Slack and Mattermost, and links of Markdown.
_SIGNS = {"<": "(", ">": ")", "@": "(at)", "](": "] (", "`": "'"}
SHORT_MS = 60_000  # a Retry-After that is shorter is the API's daily business


class Status(StrEnum):
    """What an alert says of its subject. TOLD: something has happened, and nothing will end it."""

    FIRING = "firing"
    RESOLVED = "resolved"
    TOLD = "told"


_FIRING = {NoticeKind.GATE_SHUT: "gate:{reason}", NoticeKind.KEY_SUSPENDED: "key:{key}", NoticeKind.TROUBLE: "{what}",
           NoticeKind.LEDGER_DAMAGED: "ledger"}  # fmt: skip
_RESOLVED = {
    NoticeKind.GATE_REASON_OVER: "gate:{reason}", NoticeKind.GATE_OPENED: "gate:{reason}",
    NoticeKind.KEY_ACCEPTED: "key:{key}", NoticeKind.KEY_FORGOTTEN: "key:{key}", NoticeKind.RECOVERED: "{what}",
    NoticeKind.LEDGER_REBUILT: "ledger",
}  # fmt: skip
_TOLD = {
    NoticeKind.FAILURE: "failure:{reason}", NoticeKind.FAILURES_GROWING: "failure:{reason}",
    NoticeKind.REJECTED: "rejected", NoticeKind.REJECTED_GROWING: "rejected",
    NoticeKind.CANCEL_TOO_LATE: "cancel_too_late",
}  # fmt: skip
_KINDS = {Status.FIRING: _FIRING, Status.RESOLVED: _RESOLVED, Status.TOLD: _TOLD}
# What no script can tell. The gate, failures and rejected events have notices of their own.
_TROUBLES = {Concern.NO_WORKERS, Concern.NOT_TAKEN, Concern.NEAR_DEADLINE}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `key`: its subject; what is firing under a key is resolved under it. `at_ms`: see `Notice`."""

    kind: str
    status: Status
    key: str
    text: str
    at_ms: int
    fields: Mapping[str, Any]

    def as_json(self, fleet: str, *, drill: bool = False) -> dict[str, Any]:
        """Return the alert as the receiver gets it. `text` is what Slack, Teams and Mattermost show."""
        mark = "DRILL, nothing has happened: " if drill else ""
        data = {"fleet": fleet, "status": self.status.value, "key": self.key, "drill": drill} | {
            "fields": dict(self.fields)
        }
        text = f"{mark}{fleet}: {_harmless(self.text)}"
        return {"type": f"closer.{self.kind}", "timestamp": iso(self.at_ms), "text": text, "data": data}


def _harmless(text: str) -> str:
    """Return words that come in part from outside so that no chat takes them for a mention, a link or another line.

    The fields hold them as they are.
    """
    shown = "".join(char if char.isprintable() else " " for char in text)[:_TEXT_MOST]
    for sign, shown_as in _SIGNS.items():
        shown = shown.replace(sign, shown_as)
    return shown


def alert_of(notice: Notice) -> Alert | None:
    """Return the alert that a notice becomes, None if nobody need be told."""
    if _is_daily_business(notice):
        return None
    for status, kinds in _KINDS.items():
        if pattern := kinds.get(notice.kind):
            key = pattern.format_map(_Fields(notice.fields))
            return Alert(notice.kind.value, status, key, words(notice), notice.at_ms, notice.fields)
    return None


def missed(number: int, now_ms: int) -> Alert:
    """Return the alert that tells that notices were deleted before they could be sent. `number`: how many."""
    text = f"{number:,} notices were deleted before they could be sent; look at how it is now"
    return Alert("notices_missed", Status.TOLD, "notices", text, now_ms, {"missed": number})


def troubles(snapshot: Snapshot) -> dict[str, str]:
    """Return what is wrong that no script can tell, by its name, in words that stay the same while it lasts."""
    facts = Facts(snapshot.summary, snapshot.measured, snapshot.alive)
    return {one.concern.value: one.text for one in concerns(facts) if one.concern in _TROUBLES}


def drills(now_ms: int) -> list[Alert]:
    """Return one alert of each kind, with examples for what would be told."""
    examples = {
        "reason": "outage", "by": "closer", "why": "an example", "shut_ms": 61_000, "key": "0123abcd", "agenda": 1,
        "cause": "the API refuses it with 401", "what": "no_workers", "text": "No worker is alive.", "index": 0,
        "lasted_ms": 61_000, "reference": "sg_example", "count": 10, "problem": "an example", "events": 1000,
        "source": "an example",
    }  # fmt: skip
    kinds = [kind for kinds in _KINDS.values() for kind in kinds]
    made = (alert_of(Notice("0-0", 0, kind, now_ms, examples)) for kind in kinds)
    return [*(alert for alert in made if alert), missed(1, now_ms)]


def _is_daily_business(notice: Notice) -> bool:
    """Return whether it is about a short wait that the API asked for."""
    fields = notice.fields
    if fields.get("reason") != "throttled":
        return False
    length = fields.get("shut_ms", SHORT_MS)
    if notice.kind is NoticeKind.GATE_SHUT:
        till = fields.get("till")
        length = till - notice.at_ms if isinstance(till, int | float) else SHORT_MS
    return isinstance(length, int | float) and length < SHORT_MS


class _Fields(dict[str, Any]):
    """The fields of a notice. One that is missing, because another program has written the notice, is shown as `?`."""

    def __missing__(self, _: str) -> str:
        return "?"
