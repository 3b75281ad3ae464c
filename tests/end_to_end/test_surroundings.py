"""Where a worker runs: without a home, a user or a folder, in any locale, beside services of Kubernetes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.support import API_KEY, CLOSER, cloud_event, count, environment, until
from worker.simulator.server import Simulator, run_in_thread

CELERY = [*CLOSER[:1], "-m", "celery", "-A", "worker.app", "worker"]
ROOT = Path(__file__).parents[2]
HOMES = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_DATA_HOME")
# A user that /etc/passwd does not know, as OpenShift gives one to each project; no right of root's is left to it.
STRANGER = ["unshare", "--user", "--map-user=54321", "--map-group=54321", "--"]
STREAM = "Größe"


@pytest.fixture
def stranger() -> list[str]:
    """What makes a command the one of a user without an entry; such a user cannot be made everywhere."""
    if subprocess.run([*STRANGER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system makes no user namespaces")
    return STRANGER


def homeless(**settings: object) -> dict[str, str]:
    """An environment without a home and without a login name."""
    return {name: value for name, value in environment(**settings).items() if name not in HOMES}


def run(command: list[str], given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command, env=given, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=False)


@contextmanager
def working(command: list[str], given: dict[str, str], store: redis.Redis, log: Path) -> Iterator[None]:
    """A worker that has closed a group; at the end it must stop as it should."""
    with log.open("wb") as output:
        worker = subprocess.Popen(command, env=given, cwd=ROOT, stdout=output, stderr=output)
    try:
        until(lambda: worker.poll() is not None or count(store, "closed"), "a closed group")
        assert worker.poll() is None, log.read_text()
        yield
        worker.terminate()
        assert worker.wait(45) == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait(10)


@pytest.fixture
def url() -> Iterator[str]:
    """A simulated API."""
    with run_in_thread(Simulator(api_key=API_KEY)) as (base_url, _):
        yield base_url


@pytest.mark.long
@pytest.mark.parametrize("command", [[*CLOSER, "worker"], CELERY], ids=["closer", "celery"])
def test_no_home_and_no_user(
    store: redis.Redis, store_url: str, tmp_path: Path, url: str, stranger: list[str], command: list[str]
) -> None:
    """With a store elsewhere neither a worker nor a command needs a home, or a user that the system knows."""
    given = homeless(redis_url=store_url, api_base_url=url)
    store.xadd("shipment-groups.complete", {"event": cloud_event("sg_1")})
    with working([*stranger, *command], given, store, tmp_path / "log"):
        for arguments in (
            ["health"],
            ["health", "--ready", "--wait", "20"],
            ["status"],
            ["check"],
            ["pause", "--by", "me"],
        ):
            done = run([*stranger, *CLOSER, *arguments], given)
            assert done.returncode == 0, done.stdout + done.stderr
    assert "SecurityWarning" not in (tmp_path / "log").read_text()
    assert not (ROOT / "~").exists()


@pytest.mark.long(but=["up"])
@pytest.mark.parametrize(
    "command", [[*CLOSER, "up"], [*CLOSER, "status"], [*CLOSER, "check"], CELERY], ids=lambda words: words[-1]
)
def test_no_home_for_the_embedded_store(stranger: list[str], command: list[str]) -> None:
    """Without a store elsewhere the variable is named that says where the data belong."""
    done = run([*stranger, *command], homeless(api_base_url="http://127.0.0.1:1"))
    assert done.returncode == 2, done.stderr
    assert "CLOSER_DATA_DIR is not set, and user 54321 has no home directory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("folder", [".", "data"])
def test_a_data_directory_that_cannot_be_written(
    store: redis.Redis, store_url: str, tmp_path: Path, url: str, stranger: list[str], folder: str
) -> None:
    """A worker with a store elsewhere lives, and says where its signs of life stand."""
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o555)
    given = environment(redis_url=store_url, api_base_url=url, data_dir=volume / folder)
    store.xadd("shipment-groups.complete", {"event": cloud_event("sg_1")})
    with working([*stranger, *CLOSER, "worker"], given, store, tmp_path / "log"):
        assert run([*stranger, *CLOSER, "health"], given).stdout == "1 live\n"
        log = (tmp_path / "log").read_text()
        assert f"{volume / folder} cannot be written; signs of life (`closer health`) stand in /" in log
    assert run([*stranger, *CLOSER, "health"], given).returncode == 1


@pytest.mark.long
def test_an_embedded_store_that_cannot_write(tmp_path: Path, stranger: list[str]) -> None:
    """The embedded store names its folder, and the variable to set."""
    (tmp_path / "volume").mkdir(mode=0o555)
    given = environment(api_base_url="http://127.0.0.1:1", data_dir=tmp_path / "volume" / "data")
    for command in ("up", "worker"):
        done = run([*stranger, *CLOSER, command], given)
        assert done.returncode == 2, done.stderr
        assert f"cannot make {tmp_path}/volume/data: Permission denied; set CLOSER_DATA_DIR" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.fixture(params=["C", "ISO-8859-1"])
def locale(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Variables that set a locale in which Python does not read UTF-8."""
    if request.param == "C":
        return {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    if not shutil.which("localedef"):
        pytest.skip("this system makes no locales")
    name = f"en_US.{request.param}"
    subprocess.run(["localedef", "-i", "en_US", "-f", request.param, tmp_path / name], check=True, timeout=60)
    return {"LC_ALL": name, "LOCPATH": str(tmp_path), "PYTHONUTF8": "0"}


@pytest.mark.long
@pytest.mark.parametrize("command", [[*CLOSER, "worker"], CELERY], ids=["closer", "celery"])
def test_a_locale(
    store: redis.Redis, store_url: str, tmp_path: Path, url: str, locale: dict[str, str], command: list[str]
) -> None:
    """In any locale the stream is the one that is named, and what an operator writes stands in the audit as it is."""
    given = environment(
        redis_url=store_url, api_base_url=url, events_stream=STREAM, operator="Jörg", data_dir=tmp_path / "Ablage à"
    )
    store.xadd(STREAM, {"event": cloud_event("sg_1")})
    with working(command, given | locale, store, tmp_path / "log"):
        assert run([*CLOSER, "health"], given | locale).stdout == "1 live\n"
        assert "closed → closed" in run([*CLOSER, "show", "sg_1"], given | locale).stdout
        assert run([*CLOSER, "pause", "--why", "für “€”"], given | locale).returncode == 0
        audit = run([*CLOSER, "audit"], given | locale).stdout
        assert "Jörg: pause" in audit
        assert "für “€”" in audit
    assert (tmp_path / "Ablage à").is_dir()


@pytest.mark.long
def test_a_service_called_closer(store: redis.Redis, store_url: str, tmp_path: Path, url: str) -> None:
    """Kubernetes' variables for a service of that name are no misspelt ones: no word of them; a typo is named."""
    service = {
        "CLOSER_SERVICE_HOST": "10.0.0.7", "CLOSER_SERVICE_PORT": "8080", "CLOSER_PORT": "tcp://10.0.0.7:8080",
        "CLOSER_PORT_8080_TCP": "tcp://10.0.0.7:8080", "CLOSER_PORT_8080_TCP_ADDR": "10.0.0.7",
        "CLOSER_PORT_8080_TCP_PORT": "8080", "CLOSER_PORT_8080_TCP_PROTO": "tcp",
    }  # fmt: skip
    given = environment(redis_url=f"{store_url}\n", api_base_url=f" {url}\n", data_dir=f"{tmp_path}\n") | service
    given |= {"CLOSER_API_KEY": f"{API_KEY}\n", "CLOSER_CONCURENCY": "1"}
    store.xadd("shipment-groups.complete", {"event": cloud_event("sg_1")})
    with working([*CLOSER, "worker"], given, store, tmp_path / "log"):
        misspelt = [line for line in (tmp_path / "log").read_text().splitlines() if "misspelt" in line]
        assert len(misspelt) == 1
        assert "CLOSER_CONCURENCY" in misspelt[0]
        assert API_KEY not in (tmp_path / "log").read_text()
        assert run([*CLOSER, "check"], given).returncode == 1
        assert (
            run([*CLOSER, "check"], {name: given[name] for name in given if name != "CLOSER_CONCURENCY"}).returncode
            == 0
        )
