"""The requirements files are complete: with `--no-deps` nothing is left out, whether pip is old or new."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, cast

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
FILES = {"requirements.txt": ("build",), "requirements-dev.txt": ("build", "dev")}
# What the README promises: Python 3.11 or newer, on Linux and macOS.
PYTHONS = ["3.11.0", "3.11.9", "3.12.0", "3.13.0", "3.14.0"]
PLATFORMS = [("linux", "Linux", "posix"), ("darwin", "Darwin", "posix")]
# pip 23.2 comes with Python 3.11 and 3.12, and cannot be installed in later ones.
PIPS = ["pip==23.2.1", "pip"] if sys.version_info < (3, 13) else ["pip"]


@cache
def pins(name: str) -> list[Requirement]:
    """The lines of a file."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line.partition(" --hash")[0] for line in text.splitlines() if line and line[0] not in "# "]
    return [Requirement(line) for line in lines]


def environments() -> Iterator[dict[str, str]]:
    """Where the project runs, in the words of markers."""
    for python in PYTHONS:
        for sys_platform, system, os_name in PLATFORMS:
            yield {
                "python_full_version": python, "python_version": python.rpartition(".")[0], "os_name": os_name,
                "sys_platform": sys_platform, "platform_system": system, "platform_machine": "x86_64",
                "implementation_name": "cpython", "platform_python_implementation": "CPython",
            }  # fmt: skip


def applies(requirement: Requirement, environment: dict[str, str], extra: str = "") -> bool:
    """Whether it is needed there."""
    return requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra})


@cache
def needs(name: str) -> list[Requirement]:
    """What a package itself asks for; of one that is not for this machine nothing is known here."""
    try:
        return [Requirement(text) for text in distribution(name).requires or ()]
    except PackageNotFoundError:
        return []


def asked_for(groups: tuple[str, ...]) -> list[Requirement]:
    """What the project asks for."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = [*project["project"]["dependencies"]]
    for group in groups:
        listed += [text for text in project["dependency-groups"][group] if isinstance(text, str)]
    return [Requirement(text) for text in listed]


def missing(lines: list[Requirement], roots: list[Requirement], environment: dict[str, str]) -> list[str]:
    """What the roots, and all that they need in turn, ask for, and what the lines do not pin to a fitting version."""
    pinned = {canonicalize_name(line.name): line for line in lines if applies(line, environment)}
    wanted = [root for root in roots if applies(root, environment)]
    wanted += [Requirement(line.name) for line in pinned.values()]  # each for itself, too, whoever asks for it
    seen, wrong = set[str](), []
    for asked in wanted:  # it grows meanwhile
        key = f"{canonicalize_name(asked.name)}{sorted(asked.extras)}{asked.specifier}"
        if key in seen:
            continue
        seen.add(key)
        line = pinned.get(canonicalize_name(asked.name))
        if line is None or not asked.specifier.contains(version(line), prereleases=True):
            wrong.append(str(asked))
        wanted += [
            need for need in needs(asked.name) if any(applies(need, environment, extra) for extra in extras(asked))
        ]
    return wrong


def extras(asked: Requirement) -> tuple[str, ...]:
    """Under which extras its needs count; without any, too."""
    return ("", *asked.extras)


def version(line: Requirement) -> str:
    """The one version that a line allows."""
    (only,) = line.specifier
    assert only.operator == "=="
    return only.version


@pytest.mark.parametrize(
    "environment", list(environments()), ids=lambda each: f"{each['python_full_version']}-{each['sys_platform']}"
)
@pytest.mark.parametrize("name", FILES)
def test_complete(name: str, environment: dict[str, str]) -> None:
    """Everything that a line needs is pinned in the same file, in a version that it takes."""
    assert missing(pins(name), asked_for(FILES[name]), environment) == []


@pytest.mark.parametrize(
    ("left_out", "told"),
    [("multidict", "multidict"), ("async-timeout", "async-timeout"), ("hiredis", "hiredis"), ("lupa", "lupa")],
)
def test_what_is_missing_is_found(left_out: str, told: str) -> None:
    """A dependency, one for an old Python only, and those of extras are missed when their line is gone."""
    lines = [line for line in pins("requirements-dev.txt") if line.name != left_out]
    found = missing(lines, asked_for(("build", "dev")), next(environments()))
    assert found
    assert all(text.startswith(told) for text in found)


def test_a_version_that_does_not_fit_is_found() -> None:
    """A pin that another line does not take is as good as missing."""
    lines = [Requirement("celery==5.7.0") if line.name == "celery" else line for line in pins("requirements.txt")]
    assert missing(lines, asked_for(("build",)), next(environments())) == ["celery<5.7,>=5.6.3"]


def test_pins_are_what_is_installed() -> None:
    """What the files are compared with is what they install."""
    here = [
        line for line in pins("requirements-dev.txt") if applies(line, cast("dict[str, str]", default_environment()))
    ]
    assert [(line.name, version(line)) for line in here if distribution(line.name).version != version(line)] == []


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("pip", PIPS)
def test_pip_installs_it(pip: str, tmp_path: Path) -> None:
    """An old pip and the newest take the files as the Makefile gives them: nothing is resolved, all is hashed."""
    python = str(tmp_path / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True, timeout=100)
    install = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    done = subprocess.run([*install, "--upgrade", pip], capture_output=True, text=True, timeout=100, check=False)
    if done.returncode:
        pytest.skip(f"the package registry is not reached: {done.stderr[-300:]}")
    command = [*install, "--dry-run", "--no-deps", "--require-hashes", "-r", str(ROOT / "requirements-dev.txt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "files"), [("Makefile", 2), ("Dockerfile", 1)])
def test_every_installation_resolves_nothing(name: str, files: int) -> None:
    """No call of pip looks for dependencies, and those of a file check its hashes."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    calls = [line for line in text.splitlines() if re.search(r"\$\(PIP\) |pip install ", line)]
    assert len([line for line in calls if "-r " in line]) == files
    assert [line for line in calls if "--no-deps" not in line or ("-r " in line) != ("--require-hashes" in line)] == []
