"""The rights that closer's user needs in the store and in the broker, each with a command that needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.namespace import Namespace

# Every command that the ledger and its scripts send, with as many words as it needs. KEY stands for a key of closer's.
_LEDGER = (
    "PING", "TIME", "EXISTS KEY", "TYPE KEY", "SCAN 0", "DEL KEY", "GET KEY", "MGET KEY", "SET KEY x",
    "HDEL KEY x", "HEXISTS KEY x", "HGET KEY x", "HGETALL KEY", "HINCRBY KEY x 1", "HLEN KEY", "HSET KEY x x",
    "HSETNX KEY x x", "HVALS KEY", "SADD KEY x", "SCARD KEY", "SPOP KEY", "SUNIONSTORE KEY KEY",
    "XACK KEY x 0-1", "XADD KEY * x x", "XAUTOCLAIM KEY x x 1 0-0", "XDEL KEY 0-1", "XGROUP CREATE KEY x 0",
    "XINFO GROUPS KEY", "XLEN KEY", "XPENDING KEY x", "XRANGE KEY - +", "XREADGROUP GROUP x x STREAMS KEY >",
    "XREVRANGE KEY + -", "XTRIM KEY MAXLEN 1", "ZADD KEY 1 x", "ZCARD KEY", "ZCOUNT KEY 0 1", "ZRANGE KEY 0 1",
    "ZRANGEBYSCORE KEY 0 1", "ZREM KEY x", "ZREMRANGEBYRANK KEY 0 1", "ZREMRANGEBYSCORE KEY 0 1",
    "ZREVRANGE KEY 0 1", "ZREVRANK KEY x", "ZSCAN KEY 0", "ZSCORE KEY x", "EVALSHA 0 1 KEY", "SCRIPT LOAD x",
)  # fmt: skip
# What else moves the ledger of an older release, which only the fleet of the default namespace may have.
_OLDER_LEDGER = ("WATCH KEY", "HKEYS KEY", "RENAME KEY KEY", "RENAMENX KEY KEY")
# The same for Celery's transport. WATCH stands first, because it is refused inside a transaction.
_BROKER = (
    "WATCH KEY", "UNWATCH", "PING", "BRPOP KEY 1", "LPUSH KEY x", "RPUSH KEY x", "LLEN KEY", "DEL KEY", "EXISTS KEY",
    "GET KEY", "SET KEY x", "HDEL KEY x", "HGET KEY x", "HSET KEY x x", "SADD KEY x", "SREM KEY x", "SMEMBERS KEY",
    "ZADD KEY 1 x", "ZRANGE KEY 0 1", "ZREM KEY x", "EVALSHA 0 1 KEY", "SCRIPT LOAD x", "UNSUBSCRIBE CHANNEL",
    # kombu's scripts that keep the bindings of queues which expire; it runs them now and then
    "SCRIPT EXISTS x", "TIME", "PEXPIRE KEY 1", "ZRANGEBYSCORE KEY 0 1",
)  # fmt: skip
_CONTAINERS = {"XGROUP", "XINFO", "SCRIPT"}  # commands whose second word has a right of its own
_ON_CHANNELS: dict[str, tuple[str, ...]] = {"SUBSCRIBE": (), "PUBLISH": ("x",)}


@dataclass(frozen=True, slots=True)
class Need:
    """A right, as ACL SETUSER takes it (`+xdel`, `~{closer}:*`, `&{closer}:/*`), and a command that needs it."""

    right: str
    command: tuple[str, ...]


def ledger_needs(fleet: Namespace, stream: str) -> list[Need]:
    """Return what a worker and the commands need in the store, for the ledger and the stream of events."""
    keys = {f"{fleet.prefix}*": f"{fleet.prefix}agenda", stream: stream}
    if fleet.is_default:
        keys["closer:*"] = "closer:agenda"
    samples = (*_LEDGER, *(_OLDER_LEDGER if fleet.is_default else ()))
    return [*_commands(samples, fleet), *(Need(f"~{pattern}", ("SPOP", key)) for pattern, key in keys.items())]


def broker_needs(fleet: Namespace, database: int) -> list[Need]:
    """Return what a worker needs in the Redis that is Celery's broker. `database`: the number of the one it uses."""
    keys = {f"{fleet.prefix}*": f"{fleet.prefix}celery"}
    if fleet.is_default:  # the lists of programs that know no namespaces
        keys |= {"celery*": "celery", "unacked*": "unacked"}
    channels = [f"{fleet.prefix}/{database}.{name}" for name in ("celery.pidbox", "celeryev/worker.online")]
    return [
        *_commands(_BROKER, fleet),
        *(Need(f"~{pattern}", ("BRPOP", key, "1")) for pattern, key in keys.items()),
        *(Need(f"+{verb.lower()}", (verb, channels[0], *more)) for verb, more in _ON_CHANNELS.items()),
        *(Need(f"&{fleet.prefix}/*", (verb, one, *more)) for one in channels for verb, more in _ON_CHANNELS.items()),
    ]


def _commands(samples: Sequence[str], fleet: Namespace) -> list[Need]:
    found = []
    for sample in samples:
        words = sample.split()
        name = "|".join(words[: 2 if words[0] in _CONTAINERS else 1]).lower()
        found.append(Need(f"+{name}", tuple(f"{fleet.prefix}agenda" if word == "KEY" else word for word in words)))
    return found
