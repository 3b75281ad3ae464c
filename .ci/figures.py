"""Prints figures about the form of the code of tasks and worker, and says which limits are broken; `make figures`.

Exit codes: 0 every limit holds, 1 one does not. A function's length is its lines without its docstring, from `def` on.
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
# Only these may sleep: conditions are polled with an end, a fault lasts for some time, a simulated API is slow.
SLEEPERS = ("tests/support.py", "tests/faults", "tests/tasks/standin.py", "tests/end_to_end/standin.py")
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
    print(f"  nine of ten at most {code.p90}, the longest {code.lengths[-1]}")
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
    yield from _over(code.files, FILE)
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
            if isinstance(node, ast.ImportFrom) and node.module:
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
    """Where tests import a library of mocks, or replace an attribute of a module of ours."""
    for path, node in _test_nodes():
        place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unittest"):
            yield place
        elif isinstance(node, ast.Call) and _dotted(node.func).endswith("monkeypatch.setattr"):
            target = node.args[0]
            if isinstance(target, ast.Constant) and str(target.value).startswith(CODE):
                yield place


def sleeps() -> Iterator[str]:
    """Where tests sleep, outside of the places that are there for it."""
    for path, node in _test_nodes():
        name = str(path.relative_to(ROOT))
        if isinstance(node, ast.Call) and _dotted(node.func) in ("time.sleep", "asyncio.sleep"):
            nothing = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if not nothing and not name.startswith(SLEEPERS):
                yield f"{name}:{node.lineno}"


def _test_nodes() -> Iterator[tuple[Path, ast.AST]]:
    for path in sources(("tests",)):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            yield path, node


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
