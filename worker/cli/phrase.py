"""Words for the command line: selections and steps become shell commands, refusals name their options."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.errors import CloserError
from tasks.history import iso
from tasks.hold import Hold
from tasks.ledger.audit import Announced, AuditEntry
from tasks.ledger.gate import Gate, Standing
from worker.cli.output import clock, plain
from worker.observe.error_words import in_words
from worker.operations.context import StoreAway
from worker.operations.corrections import NotCorrected
from worker.operations.operator import Verb
from worker.operations.refusal import Refused, Rule
from worker.operations.selection import Filter
from worker.operations.step import CouldNot, GateShut, Step

_NAMED = 5
_LINES = 20
# The options that stand for the conditions of a filter, in the order of its JSON.
OPTIONS = {
    "state": "--state", "reason": "--reason", "status": "--status-code", "code": "--code", "source": "--source",
    "since": "--since", "until": "--until", "attempts_over": "--attempts-over", "prefix": "--reference-prefix",
    "text": "--text",
}  # fmt: skip
_COMMANDS: dict[Verb, list[str]] = {
    Verb.FOLLOW: ["show"],
    Verb.REJECTED: ["rejected", "list"],
    Verb.ACTIONS: ["actions", "list"],
    Verb.STOP_ACTION: ["actions", "stop"],
    Verb.RESUME_ACTION: ["actions", "resume"],
    Verb.RECALL: ["actions", "recall"],
    Verb.OVERRIDE: ["resume", "--override-retry-after"],
    Verb.REPLAY: ["rejected", "replay"],
    Verb.ACCEPT_TYPE: ["rejected", "replay", "--accept-type"],
    Verb.USE_SUBJECT: ["rejected", "replay", "--use-subject"],
    Verb.DISCARD_REJECTED: ["rejected", "discard"],
    Verb.EXPORT_REJECTED: ["rejected", "export"],
    Verb.SHORTEN_AUDIT: ["audit", "export", "--remove"],
    Verb.MOVE_API: ["ledger", "move-api"],
    Verb.CREATE_TOKEN: ["token", "create"],
    Verb.LIST_TOKENS: ["token", "list"],
    Verb.REVOKE_TOKEN: ["token", "revoke"],
}
# Commands that are advised with a `--why` to be filled in.
_TOLD_WHY = {
    Verb.REQUEUE, Verb.DISCARD, Verb.HOLD, Verb.RELEASE, Verb.PAUSE, Verb.RESUME, Verb.OVERRIDE, Verb.DISCARD_REJECTED,
    Verb.MOVE_API,
}  # fmt: skip
# The options that choose rejected events and entries of the audit, in the order in which they are told.
_SELECTED = {
    "problem": "--problem", "source": "--source", "type": "--type", "since": "--since", "until": "--until",
    "up_to": "--up-to",
}  # fmt: skip
_REFUSALS = {
    Rule.NAMELESS: "nobody knows who you are: give --by NAME, or set CLOSER_OPERATOR",
    Rule.EVERYTHING: "this would act on everything: give references, --file PATH, or at least one filter",
    Rule.TWO_STEPS: "--accept-type and --use-subject together take ids; without ids give one of them",
    Rule.KIND_WITHOUT_SUBJECT: "--problem, --source and --type choose events where no ids are given",
    Rule.CORRECTION_WITHOUT_IDS: "--set and --edit correct events that are named by their ids",
    Rule.SUBJECT_NOT_SHOWN: "a subject is used only after it was shown which groups it names: leave --yes out first",
}
_REJECTED_WANTED = "name rejected events by their ids, or use --accept-type TYPE, or --use-subject"


def conditions(filter_: Filter) -> list[str]:
    """Return the options that make a filter."""
    words = []
    for name, value in filter_.as_json().items():
        for one in value if isinstance(value, list) else [value]:
            words += [OPTIONS[name], str(one)]
    return words


def command(step: Step) -> str:
    """Return a step as a command that can be pasted into a shell. A reason that must be given stands as `…`."""
    words = ["closer", *_COMMANDS.get(step.verb, [step.verb.value])]
    words += [step.event_type] if step.event_type else []
    references = step.selection.references if step.selection else ()
    words += [*references, *conditions(step.selection.filter)] if step.selection else []
    words += ["--lock"] if step.lock else []
    words += ["--why", "…"] if step.verb in _TOLD_WHY else []
    return shlex.join(_dashed_last(words, references))


def _dashed_last(words: list[str], references: Sequence[str]) -> list[str]:
    """Return the words with `--` before references that begin with a dash, so that none is taken for an option."""
    dashed = [reference for reference in references if reference.startswith("-")]
    return [word for word in words if word not in dashed] + (["--", *dashed] if dashed else [])


def chosen(action: Announced) -> str:
    """Return what an action in the audit selected, as options for a shell; of many ids, the first few and the count."""
    selection = action.selection
    if not selection:
        return action.in_words
    try:
        return _chosen(selection)
    except (ValueError, TypeError, KeyError, AttributeError):
        return str(selection)  # another program wrote it


def audited(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry of the audit as JSON, with what it selected as options, too (`filter`)."""
    return entry.as_json() | {"filter": chosen(entry.action)}


def _chosen(selection: Mapping[str, Any]) -> str:
    ids = list(map(str, selection.get("references") or selection.get("rejected") or ()))
    more = int(selection.get("count", len(ids))) - len(ids[:_NAMED])
    words = ids[:_NAMED] or conditions(Filter.from_json(selection.get("filter", {})))
    words = _dashed_last([*words, *_flags(selection)], ids[:_NAMED])
    return shlex.join(words) + (f" and {more} more" if more > 0 else "")


def _flags(selection: Mapping[str, Any]) -> list[str]:
    found = [str(selection[name]) for name in ("token", "action") if selection.get(name)]
    found += ["--lock"] if selection.get("lock") else []
    found += ["--rate", f"{selection['rate']:g}/s"] if selection.get("rate") else []
    found += ["--canary", str(selection["canary"])] if selection.get("canary") else []
    found += ["--ask-api"] if selection.get("ask_api") else []
    found += ["--while-shut"] if selection.get("while_shut") else []
    found += ["--accept-type", str(selection["accept_type"])] if selection.get("accept_type") else []
    found += ["--use-subject"] if selection.get("use_subject") else []
    for name, option in _SELECTED.items():
        found += [option, str(selection[name])] if selection.get(name) else []
    for path, value in selection.get("set", ()):
        found += ["--set", f"{path}={value}"]
    return found + (["--edit"] if selection.get("edited") else [])


def refusal(refused: Refused) -> str:
    """Return a refusal, with the options that it is about."""
    match refused.rule:
        case Rule.EVERYTHING if refused.data["verb"] in (Verb.REPLAY, Verb.ACCEPT_TYPE, Verb.USE_SUBJECT):
            return _REJECTED_WANTED
        case Rule.EVERYTHING if refused.data["verb"] is Verb.DISCARD_REJECTED:
            return "name rejected events by their ids, or choose them with --problem, --type, --since or --until"
        case Rule.WHY_NEEDED:
            against = "--override-retry-after goes against what the API asked for: "
            words = "tell why, for the audit, with --why TEXT"
            return against + words if refused.data["verb"] is Verb.OVERRIDE else words
        case Rule.ONE_VALUE_FOR_SEVERAL:
            field, events = refused.data["field"], refused.data["events"]
            return plain(f"--set {field} would make these {events} events the same; ") + (
                "correct them one at a time, or with --edit"
            )
        case Rule.WRONG_LINES:
            return plain(refused) + "".join(f"\n  {plain(line)}" for line in _first(refused.data["wrong"]))
        case rule:
            return _REFUSALS.get(rule, plain(refused))


def _first(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _LINES
    return [*lines[:_LINES], *([f"and {more:,} more"] if more > 0 else [])]


def error(raised: CloserError) -> str:
    """Return an error, with the command or the option that helps."""
    match raised:
        case Refused():
            return refusal(raised)
        case StoreAway(embedded=True):
            return (
                f"{raised.problem}\nTried {raised.address}: the embedded store, because CLOSER_REDIS_URL is not set.\n"
                "Start it with `closer up`; or set CLOSER_REDIS_URL to your store, or CLOSER_DATA_DIR as the worker "
                "has it."
            )
        case StoreAway():
            return f"{raised} `closer check` says what is wrong."
        case NotCorrected():
            return f"{raised}.\nCorrect it with --edit."
        case GateShut():
            return f"{raised}.\nTo ask all the same, say --while-shut: asking changes nothing at Sorted."
        case CouldNot(step=Step() as step):
            return f"{raised}; see `{command(step)}`"
        case _:
            return in_words(raised)


def remedy(text: str | None, step: Step | None) -> str | None:
    """Return what to do, and the command to begin with."""
    return text if text is None or step is None else f"{text}: {command(step)}"


def held(reference: str, hold: Hold) -> str:
    """Return who holds a group, since when and why, and which sources cancel it as well."""
    since = f"since {clock(iso(hold.at_ms))} UTC"
    if hold.source is not None:
        event = f" (id {hold.event_id})" if hold.event_id else ""
        others = sorted(set(hold.cancels) - {hold.source})
        also = f", and also by {', '.join(others)}" if others else ""
        return f"{reference} is held {since} by a cancel event of {hold.source}{event}{also}"
    if hold.cancels:
        since += f"; cancel events of {', '.join(hold.cancels)} ask for it, too"
    return f"{reference} is held by {hold.by} {since}: {hold.why}"


def ends(standing: Standing, gate: Gate) -> str:
    """Return when a reason for the shut gate ends. While it is paused or throttled, nothing is probed."""
    if standing.until_ms is not None:
        return f"until {clock(iso(standing.until_ms))} UTC, then it ends by itself"
    if standing.reason == "paused":
        return "until `closer resume`"
    if gate.get("paused"):
        return "until a probe is answered well; nothing is probed until `closer resume`"
    throttled = gate.get("throttled")
    at_ms = max(standing.probe_at_ms or 0, throttled.until_ms or 0 if throttled else 0)
    when = "now" if at_ms <= gate.now_ms else f"at {clock(iso(at_ms))} UTC"
    return f"until a probe is answered well; the next is due {when}"
