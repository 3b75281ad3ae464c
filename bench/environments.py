"""Python environments of their own for the peers and the plot, made once under `.bench-venvs/` with pinned versions."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
_VENVS = ROOT / ".bench-venvs"
_INSTALL_S = 900.0


def python_of(requirements: Path) -> str:
    """The interpreter of the environment with exactly these requirements; made anew when they have changed."""
    name = requirements.stem.removeprefix("requirements-")
    folder = _VENVS / name
    stamp, wanted = folder / "made-from", hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        _make(folder, requirements)
        stamp.write_text(wanted)
    return str(folder / "bin" / "python")


def _make(folder: Path, requirements: Path) -> None:
    click.echo(f"Installing {requirements.name} into {folder.relative_to(ROOT)} …", err=True)
    pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "-r", str(requirements)]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], [str(folder / "bin" / "python"), *pip]):
        subprocess.run(command, check=True, timeout=_INSTALL_S)
