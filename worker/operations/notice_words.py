"""Words for notices: one line tells one thing that has happened lately."""

from __future__ import annotations

from tasks.ledger.notices import Notice, NoticeKind
from worker.operations.ages import age

_TEXTS: dict[NoticeKind, str] = {
    NoticeKind.GATE_SHUT: "the gate was shut: {reason}, by {by}",
    NoticeKind.GATE_REASON_OVER: "the reason {reason} is over; the gate is still shut for another",
    NoticeKind.GATE_OPENED: "the gate opened after {shut_for}; it was shut: {reason}",
    NoticeKind.FAILURE: "{reference} failed for {reason}, the first in a while",
    NoticeKind.FAILURES_GROWING: "{count} groups have failed for {reason} by now",
    NoticeKind.TROUBLE: "{text}",
    NoticeKind.RECOVERED: "this is over, after {lasted_for}: {text}",
    NoticeKind.REJECTED: "an event was rejected: {problem}",
    NoticeKind.REJECTED_GROWING: "{events} events were rejected within an hour; look at them by what is wrong",
    NoticeKind.KEY_SUSPENDED: "the key {key} is suspended: {cause}",
    NoticeKind.KEY_ACCEPTED: "the key {key} is accepted again",
    NoticeKind.KEY_FORGOTTEN: "the suspended key {key} is forgotten: no worker has it any more",
    NoticeKind.LEDGER_DAMAGED: "the ledger had lost entries or held them wrongly; it is being rebuilt",
    NoticeKind.LEDGER_REBUILT: "the ledger was rebuilt: {agenda} entries of the agenda, {index} of other indexes",
    NoticeKind.HELD: "{by} holds {reference}{more}: {why}",
    NoticeKind.CANCEL_TOO_LATE: "a cancel event of {source} came too late: {reference}{more} is closed already",
    NoticeKind.ACTION_ENDED: "{action} by {by} {how}: {changed} of {matched} changed{because}",
    NoticeKind.API_MOVED: "the ledger was moved from {from} to {to} by {by}",
    NoticeKind.LEDGER_VERSION: "the ledger's version rose from {from} to {to}",
}


def words(notice: Notice) -> str:
    """Return in one line what has happened.

    A notice whose fields have other names or types than closer writes is shown as its kind and its fields.
    """
    said = {"problem": "its reason is not known", "reason": "?"} | dict(notice.fields)
    said["how"] = "was stopped" if said.get("stopped") else "has ended"
    said["because"] = f"; {said['because']}" if said.get("because") else ""
    try:
        said["shut_for"] = age(float(said.get("shut_ms", 0)) / 1000)
        said["more"] = f" and {said['groups'] - 1} more" if said.get("groups", 1) != 1 else ""
        said["lasted_for"] = age(float(said.get("lasted_ms", 0)) / 1000)
        return _TEXTS[notice.kind].format_map(said)
    except (KeyError, TypeError, ValueError, OverflowError):
        return " ".join([notice.kind.value, *(f"{name}={value}" for name, value in notice.fields.items())])
