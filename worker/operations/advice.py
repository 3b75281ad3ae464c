"""Says in plain words what each failure means and what to do about it. It says the same for each state of the gate.

The doors, the docs and a test share these texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.closure import Reason
from tasks.ledger.gate import Standing
from worker.operations.operator import Verb
from worker.operations.selection import Filter, Selection
from worker.operations.step import Step


@dataclass(frozen=True, slots=True)
class Advice:
    """What an operator should know and do.

    `meaning`: what has happened. `remedy`: what to do, in order. `first`: the step to begin with. `last_resort`: a step
    that helps when nothing else does; None if there is none.
    """

    meaning: str
    remedy: str
    first: Step
    last_resort: Step | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the advice as other programs see it. `last_resort` is left out if there is none."""
        given = {"meaning": self.meaning, "remedy": self.remedy, "first": self.first.as_json()}
        return given | ({"last_resort": self.last_resort.as_json()} if self.last_resort else {})

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Advice:
        """Read what `as_json` wrote. Raises ValueError or KeyError for anything else."""
        last = document.get("last_resort")
        return cls(
            str(document["meaning"]), str(document["remedy"]), Step.from_json(document["first"]),
            None if last is None else Step.from_json(last),
        )  # fmt: skip


def _for_all(verb: Verb, reason: Reason, *, lock: bool = False) -> Step:
    """Return the step that does `verb` to all closures that failed for this reason."""
    return Step(verb, Selection(filter=Filter(reasons=(reason,))), lock=lock)


FAILURES: dict[Reason, Advice] = {
    Reason.NOT_FOUND: Advice(
        "The API knows no such group: it does not exist, or this account has no access to it. It was asked several "
        "times, for a new group may still be processed.",
        "Compare the reference with the warehouse system's. If the group exists in Sorted, check that CLOSER_API_KEY "
        "belongs to the account that owns it; then re-queue. If it does not exist, discard it.",
        _for_all(Verb.REQUEUE, Reason.NOT_FOUND),
    ),
    Reason.GONE: Advice(
        "The group was removed or quarantined (410): the API wants no further requests about it.",
        "Nothing can close it. Tell whoever owns the shipments, then discard it.",
        _for_all(Verb.DISCARD, Reason.GONE),
    ),
    Reason.FORBIDDEN: Advice(
        "The account is not allowed to close this group (403).",
        "Ask whoever manages the Sorted account to permit this key to close shipment groups; then re-queue.",
        _for_all(Verb.REQUEUE, Reason.FORBIDDEN),
    ),
    Reason.NOT_LOCKED: Advice(
        "The group is still open, and only a locked group can be closed. The warehouse system announced it before "
        "it was locked, or somebody has unlocked it.",
        "Ask whether it is really complete. If so, let the warehouse lock it and re-queue it, or re-queue it with "
        "lock: then closer locks it. If this is how it always is, set CLOSER_LOCK_BEFORE_CLOSE=if-needed.",
        _for_all(Verb.REQUEUE, Reason.NOT_LOCKED, lock=True),
    ),
    Reason.NOT_CLOSABLE: Advice(
        "The group is locked, but the API refused to close it until the deadline: most likely some of its shipments "
        "are neither manifested nor cancelled.",
        "Have its shipments manifested or cancelled in Sorted; then re-queue.",
        _for_all(Verb.REQUEUE, Reason.NOT_CLOSABLE),
    ),
    Reason.INVALID_REQUEST: Advice(
        "The API refused the request itself (400): the reference's format, or a header such as the version.",
        "If it is one group, its reference is wrong: find the right one, publish that, discard this. If it is all "
        "groups, CLOSER_API_VERSION or CLOSER_API_BASE_URL is wrong: correct it, restart the workers, re-queue.",
        Step(Verb.CHECK),
    ),
    Reason.UNEXPECTED_REPLY: Advice(
        "The API shows the group in a state that its documents do not name.",
        "Look at the group in Sorted. Ask their support with the correlation id; then re-queue or discard.",
        _for_all(Verb.VERIFY, Reason.UNEXPECTED_REPLY),
    ),
    Reason.DEADLINE_EXCEEDED: Advice(
        "It was tried until the deadline (CLOSER_RETRY_DEADLINE) and could not be closed: time-outs, cut connections "
        "or server errors. The history shows the last cause.",
        "See whether the API is well by now; then re-queue: it gets a new deadline.",
        _for_all(Verb.REQUEUE, Reason.DEADLINE_EXCEEDED),
    ),
    Reason.REOPENED: Advice(
        "It had been closed, but when the API was asked later it did not show it as closed. A closed group is never "
        "opened again by the API's own rules, so this must not happen.",
        "Look at the group in Sorted, and report it to their support with the correlation id of the close. To close "
        "it again, re-queue it.",
        _for_all(Verb.REQUEUE, Reason.REOPENED),
    ),
}

GATES: dict[str, Advice] = {
    "paused": Advice(
        "An operator has paused all calls to the API. Events are still taken in, and nothing is lost; deadlines stand "
        "still.",
        "Ask the one who paused it; then resume.",
        Step(Verb.RESUME),
    ),
    "unauthorised": Advice(
        "The API refuses the key (401), or group after group (403). Nothing is called but one probe now and then, and "
        "deadlines stand still.",
        "Find out whether the key was changed or the account lost its permission. Set CLOSER_API_KEY and restart the "
        "workers; or, when Sorted accepts the key again, resume: the next probe is then due at once.",
        Step(Verb.CHECK),
    ),
    "outage": Advice(
        "Most calls ended in time-outs, cut connections or server errors: the API is ill or cannot be reached. One "
        "probe every few seconds asks whether it is back, and deadlines stand still.",
        "Usually nothing: the first good probe opens the gate. If it lasts, check the network from here and ask "
        "Sorted's status page or support.",
        Step(Verb.CHECK),
    ),
    "throttled": Advice(
        "The API asked to hold back for a time (Retry-After).",
        "Nothing: the gate opens by itself when the time is over. If it happens often, set CLOSER_RATE_LIMIT. If the "
        "time is absurd, Sorted agrees that you go on, and nothing else helps: resume against the Retry-After.",
        Step(Verb.STATUS),
        Step(Verb.OVERRIDE),
    ),
}
MENDED = Advice(
    "closer has paused all calls, because it had to cut off a damaged end of the store's files. Results, and what "
    "operators did last, may be missing.",
    "Look at the audit: is everybody's last action there? Do again what is missing; then resume.",
    Step(Verb.RESUME),
)


def gate_advice(standing: Standing) -> Advice:
    """Return the advice for a reason that shuts the gate. A pause by closer itself follows damage, and has its own."""
    return MENDED if standing.reason == "paused" and standing.by == "closer" else GATES[standing.reason]
