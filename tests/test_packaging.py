"""What the project ships keeps its promises: the image, the compose file, the pins, CI and the wheel.

No container engine is needed. `compose-spec.json` is the Compose specification's own schema, unchanged
(github.com/compose-spec/compose-spec, Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0).
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def instructions(name: str) -> list[str]:
    """A Dockerfile's instructions, continued lines joined, comments left out."""
    lines = [line for line in read(name).splitlines() if not line.lstrip().startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(read("docker-compose.yml"))
    return document


@pytest.fixture(scope="module")
def store(compose: dict[str, Any]) -> dict[str, Any]:
    service: dict[str, Any] = compose["services"]["store"]
    return service


@pytest.fixture(scope="module")
def worker(compose: dict[str, Any]) -> dict[str, Any]:
    service: dict[str, Any] = compose["services"]["worker"]
    return service


def options(command: list[str]) -> dict[str, str]:
    """`["server", "--a", "1", "--b", "2"]` as `{"--a": "1", "--b": "2"}`."""
    return dict(zip(command[1::2], command[2::2], strict=True))


def test_compose_file_follows_the_specification(compose: dict[str, Any]) -> None:
    """docker-compose.yml is valid by the Compose specification's schema."""
    schema = json.loads(read("tests/compose-spec.json"))
    Draft202012Validator.check_schema(schema)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(compose)] == []


def test_schema_refuses_a_misspelt_key(compose: dict[str, Any]) -> None:
    """The schema is strict enough to notice a service's misspelt key."""
    schema = json.loads(read("tests/compose-spec.json"))
    broken = {**compose, "services": {"worker": {"build": ".", "depend_on": ["store"]}}}
    assert not Draft202012Validator(schema).is_valid(broken)


def test_store_loses_nothing(store: dict[str, Any]) -> None:
    """The store writes an append-only file to a volume before it answers, and never evicts."""
    given = options(store["command"])
    assert given["--appendonly"] == "yes"
    assert given["--appendfsync"] == "always"
    assert given["--maxmemory-policy"] == "noeviction"
    assert f"store:{given['--dir']}" in store["volumes"]


def test_store_is_not_published(store: dict[str, Any]) -> None:
    """The store, which has no password, is reached from the compose network only."""
    assert "ports" not in store


def test_worker_waits_for_a_healthy_store(store: dict[str, Any], worker: dict[str, Any]) -> None:
    """Both services are watched, and the worker starts only when the store answers."""
    assert "valkey-cli ping" in store["healthcheck"]["test"][1]
    assert worker["healthcheck"]["test"] == ["CMD", "closer", "health", "--live"]
    assert worker["depends_on"]["store"]["condition"] == "service_healthy"


def test_worker_talks_to_the_store_of_this_file(worker: dict[str, Any]) -> None:
    """The worker's ledger is the store, not an embedded one that would vanish with the container."""
    assert worker["environment"]["CLOSER_REDIS_URL"] == "redis://store:6379/0"


def test_api_key_comes_from_the_environment(worker: dict[str, Any]) -> None:
    """The API key is asked of the environment, its absence is an error, and no file holds one."""
    assert worker["environment"]["CLOSER_API_KEY"].startswith("${CLOSER_API_KEY:?")
    assert "API_KEY" not in "\n".join(instructions("Dockerfile"))


def test_worker_may_do_little(worker: dict[str, Any]) -> None:
    """The worker has no capability and no file of its own to write, and has time to stop cleanly."""
    assert worker["read_only"]
    assert worker["init"]
    assert worker["cap_drop"] == ["ALL"]
    assert worker["stop_grace_period"] == "35s"


def test_image_runs_as_a_numbered_ordinary_user() -> None:
    """The image's last user is not root, and is a number, which an orchestrator can verify."""
    users = [line.split()[1] for line in instructions("Dockerfile") if line.startswith("USER")]
    assert re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1])


def test_image_runs_a_watched_worker() -> None:
    """The image starts `closer worker`, stops it by SIGTERM and asks it whether it is alive."""
    lines = instructions("Dockerfile")
    assert 'CMD ["closer", "worker"]' in lines
    assert "STOPSIGNAL SIGTERM" in lines
    health = next(line for line in lines if line.startswith("HEALTHCHECK"))
    assert health.endswith('CMD ["closer", "health", "--live"]')


def test_image_installs_by_hash() -> None:
    """Each of the image's pip calls resolves nothing, and checks the hashes of what a file lists."""
    installs = [line for line in instructions("Dockerfile") if "pip install" in line]
    assert installs
    assert all("--no-deps" in line for line in installs)
    assert all("--require-hashes" in line for line in installs if " -r " in line)


def test_image_is_built_from_what_the_context_lets_in() -> None:
    """Every path the Dockerfile copies from the context is let in by .dockerignore."""
    copies = [line.split()[1:-1] for line in instructions("Dockerfile") if line.startswith("COPY ")]
    wanted = {path for paths in copies if not paths[0].startswith("--from") for path in paths}
    allowed = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    assert wanted == allowed


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_pins_are_exact_and_hashed(name: str) -> None:
    """Each requirement is one version with at least one hash, from whichever index the machine uses."""
    text = read(name)
    entries = re.findall(r"^\S.*(?:\n[ ]{4}--hash=.*)*", text, flags=re.MULTILINE)
    assert len(entries) > 30
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ ", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    assert "://" not in text
    assert set(re.findall(r"--[a-z-]+", text)) == {"--hash"}


def pins(name: str) -> set[str]:
    return set(re.findall(r"^[a-z0-9-]+==\S+", read(name), flags=re.MULTILINE))


def test_development_adds_to_the_runtime() -> None:
    """The tests run with exactly the versions that a user gets."""
    assert pins("requirements.txt") < pins("requirements-dev.txt")


def test_setuptools_is_pinned() -> None:
    """setuptools comes with the pins: the project is installed without build isolation."""
    assert any(pin.startswith("setuptools==") for pin in pins("requirements.txt"))


def test_ci_runs_both_commands_of_the_readme() -> None:
    """CI runs the commands that the README begins with, skips no test, and stops at the first failure."""
    lines = read(".ci/run").splitlines()
    first = read("README.md").partition("```sh\n")[2].partition("```")[0]
    for command in re.findall(r"^make \w+", first, flags=re.MULTILINE):
        assert [line for line in lines if line.removeprefix("TESTS_ALL=1 ").startswith(command)], command
    assert any(line.startswith("TESTS_ALL=1 make test") for line in lines)
    assert "set -euo pipefail" in lines
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_wheel_holds_every_script(tmp_path: Path) -> None:
    """A wheel holds all Python files and Lua scripts, and the `closer` command."""
    source = tmp_path / "source"
    hidden = shutil.ignore_patterns("__pycache__")
    for folder in ("tasks", "worker"):
        shutil.copytree(ROOT / folder, source / folder, ignore=hidden)
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)

    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)],
        check=True,
        capture_output=True,
        text=True,
    )

    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        shipped = set(wheel.namelist())
        entry_points = next(name for name in shipped if name.endswith("/entry_points.txt"))
        commands = wheel.read(entry_points).decode()
    expected = {
        path.relative_to(ROOT).as_posix()
        for folder in ("tasks", "worker")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".lua"}
    }
    assert expected <= shipped
    assert "closer = worker.__main__:main" in commands
