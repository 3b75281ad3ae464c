"""Prints figures about the form of the code of tasks and worker, and says which limits are broken; `make figures`.

A function's length is its lines without its docstring, from `def` on. An import of `unittest.mock` counts as a mock. So
does the replacement of a class, a function or a module of ours. A test may set a constant of ours (a pause, a limit).
A sleep of 0 does not count: it only lets other tasks run.
Exit codes: 0 every limit holds, 1 one does not.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE, ALL = ("tasks", "worker"), ("tasks", "worker", "tests", "bench", ".ci")
MEDIAN, P90, LONGEST, FILE = 7, 16, 40, 300
# Only these may sleep: conditions are polled with an end, and a fault lasts for some time.
SLEEPERS = ("tests/support.py", "tests/faults")
_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(slots=True)
class Figures:
    """What was counted. `functions`: length by place; `files`: lines by file."""

    functions: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    docstrings: int = 0
    comments: int = 0

    @property
    def lengths(self) -> list[int]:
        """The functions' lengths, the shortest first."""
        return sorted(self.functions.values())

    @property
    def p90(self) -> int:
        """Nine of ten functions are no longer than this."""
        return self.lengths[int(len(self.lengths) * 0.9)]

    def share(self, lines: int) -> str:
        """A number of lines as a part of all."""
        return f"{lines / sum(self.files.values()):.1%}"


def main() -> int:
    """Print the figures; what is wrong goes to stderr."""
    code, everything = count(CODE), count(ALL)
    print(
        f"functions of {' and '.join(CODE)}: {len(code.functions)}, median {statistics.median(code.lengths):g} lines,"
    )
    longest = max(code.functions, key=code.functions.__getitem__)
    print(f"  nine of ten at most {code.p90}, the longest {code.functions[longest]} ({longest})")
    print(f"files: {len(code.files)}; the longest {max(code.files.values())} lines")
    print(f"tests and bench: function {everything.lengths[-1]}, file {max(everything.files.values())} at most")
    print(f"docstrings: {code.share(code.docstrings)} of lines; comments: {code.share(code.comments)}")
    print(f"import cycles: {len(cycles(imports()))}; mocks in tests: {len(list(mocks()))}")
    wrong = list(problems(code, everything))
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


def problems(code: Figures, everything: Figures) -> Iterator[str]:
    """Each limit that does not hold."""
    if statistics.median(code.lengths) > MEDIAN or code.p90 > P90:
        yield f"functions are too long: the median may be {MEDIAN} lines, and nine of ten {P90}"
    yield from _over(everything.functions, LONGEST)
    yield from _over(everything.files, FILE)
    yield from (f"modules import each other in a circle: {' → '.join(circle)}" for circle in cycles(imports()))
    yield from (f"{place} replaces a part of ours by a mock" for place in mocks())
    yield from (f"{place} sleeps to wait; wait for a condition (tests/support.py, until)" for place in sleeps())


def _over(lengths: dict[str, int], limit: int) -> list[str]:
    return [f"{place} has {lines} lines; {limit} are allowed" for place, lines in lengths.items() if lines > limit]


def count(folders: tuple[str, ...]) -> Figures:
    """The figures of all Python files in these folders."""
    found = Figures()
    for path in sources(folders):
        text = path.read_text("utf-8")
        name = str(path.relative_to(ROOT))
        found.files[name] = text.count("\n")
        found.comments += _comments(text)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, _DEFINES):
                found.docstrings += _docstring(node)
            if isinstance(node, _FUNCTIONS):
                length = (node.end_lineno or 0) - node.lineno + 1 - _docstring(node)
                found.functions[f"{name}:{node.lineno} {node.name}"] = length
    return found


def sources(folders: tuple[str, ...]) -> list[Path]:
    """The Python files in these folders, in order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports() -> dict[str, set[str]]:
    """Which module of ours imports which at its top, where a circle would break the start."""
    known = {_module(path) for path in sources(CODE)}
    found: dict[str, set[str]] = defaultdict(set)
    for path in sources(CODE):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Import):
                found[_module(path)] |= {alias.name for alias in node.names} & known - {_module(path)}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
                found[_module(path)] |= names & known - {_module(path)}
    return found


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The circles among modules, each as the way round it."""
    done: set[str] = set()
    found: list[list[str]] = []

    def follow(module: str, way: list[str]) -> None:
        if module in way:
            found.append([*way[way.index(module) :], module])
        elif module not in done:
            for other in sorted(graph.get(module, ())):
                follow(other, [*way, module])
            done.add(module)

    for module in sorted(graph):
        follow(module, [])
    return found


def mocks() -> Iterator[str]:
    """Where tests import a library of mocks, or replace a part of ours."""
    for path in sources(("tests",)):
        tree = ast.parse(path.read_text("utf-8"))
        yield from (f"{path.relative_to(ROOT)}:{line}" for line in mocks_in(tree))


def mocks_in(tree: ast.Module) -> Iterator[int]:
    """The lines of one file where it does so."""
    names = _imported(tree)
    if any(full.startswith(("unittest.mock", "mock", "pytest_mock")) for full in names.values()):
        yield 1
    for node in ast.walk(tree):
        replaced: list[str] = []
        if isinstance(node, ast.Call) and _dotted(node.func).endswith(".setattr"):
            replaced = [_replaced(node, names)]
        elif isinstance(node, ast.Assign):
            replaced = [_full(target, names) for target in node.targets if isinstance(target, ast.Attribute)]
        yield from (getattr(node, "lineno", 0) for full in replaced if _is_part_of_ours(full))


def _replaced(call: ast.Call, names: dict[str, str]) -> str:
    """What `monkeypatch.setattr` replaces, as a dotted name: of `(module, "name", …)` or `("module.name", …)`."""
    target, name = (str(arg.value) if isinstance(arg, ast.Constant) else _full(arg, names) for arg in call.args[:2])
    return target if isinstance(call.args[0], ast.Constant) else f"{target}.{name}"


def _is_part_of_ours(full: str) -> bool:
    """Whether the name is one of ours, and no constant."""
    return full.startswith(tuple(f"{folder}." for folder in CODE)) and not full.rpartition(".")[2].isupper()


def sleeps() -> Iterator[str]:
    """Where tests sleep, outside of the places that are there for it."""
    for path in sources(("tests",)):
        name = str(path.relative_to(ROOT))
        if not name.startswith(SLEEPERS):
            yield from (f"{name}:{line}" for line in sleeps_in(ast.parse(path.read_text("utf-8"))))


def sleeps_in(tree: ast.Module) -> Iterator[int]:
    """The lines of one file that sleep for longer than nothing."""
    names = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _full(node.func, names) in ("time.sleep", "asyncio.sleep"):
            nothing = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if not nothing:
                yield node.lineno


def _imported(tree: ast.Module) -> dict[str, str]:
    """What each imported name of a file stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _full(node: ast.expr, names: dict[str, str]) -> str:
    """The dotted name that an expression stands for, whatever it was imported as."""
    first, dot, rest = _dotted(node).partition(".")
    return names.get(first, first) + dot + rest


def _dotted(node: ast.expr) -> str:
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) -> int:
    if ast.get_docstring(node, clean=False) is None:
        return 0
    return (node.body[0].end_lineno or 0) - node.body[0].lineno + 1


def _comments(text: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.COMMENT for token in tokens)


if __name__ == "__main__":
    sys.exit(main())
