"""fakeredis as the contract suites use it: one server for each process, on which a script is compiled once."""

from __future__ import annotations

from typing import Any

from fakeredis import FakeAsyncRedis, FakeServer
from fakeredis.commands_mixins import scripting_mixin

_lua: Any = scripting_mixin.LUA_MODULE


class _Runtime(_lua.LuaRuntime):  # type: ignore[misc]
    """Keeps each script that it has compiled.

    fakeredis compiles the whole text for every call, and collects the garbage of that after it. The ledger's scripts
    have a thousand lines, so this was most of the time of a test.
    """

    def __init__(self, **_: Any) -> None:  # lupa has read the options before
        super().__init__()
        self._compiled: dict[Any, Any] = {"collectgarbage()": lambda: None}

    def execute(self, code: Any, *arguments: Any) -> Any:
        """Run a script, compiled before or now."""
        compiled = self._compiled.get(code)
        if compiled is None:
            compiled = self._compiled[code] = self.compile(code)
        return compiled(*arguments)


_lua.LuaRuntime = _Runtime  # fakeredis makes its runtime for the first script that it runs
_server = FakeServer(version=(7, 0))


class FakeStore(FakeAsyncRedis):
    """An empty fakeredis. All are clients of one server, but one that is made later does not see what was there before.

    It does not know the `#!lua` line that real stores need to refuse a script as a whole.
    """

    def __init__(self) -> None:
        _server.dbs.clear()
        super().__init__(server=_server)

    def register_script(self, script: Any) -> Any:
        """Register the script without its first line."""
        return super().register_script(script.partition("\n")[2])
