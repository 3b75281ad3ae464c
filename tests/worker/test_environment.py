"""Variables as files, shells and Kubernetes give them: each works, or is named with what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import ConfigurationError
from worker.data_dir import data_dir
from worker.environment import of_kubernetes
from worker.settings import Settings, load, unknown_variables

SECRET = "hunter2-secret"
GIVEN = {
    "api_key": SECRET, "api_base_url": "https://api.test/pro", "api_version": "1.2", "request_timeout": "7",
    "lock_before_close": "if-needed", "allow_http": "true", "redis_url": f"redis://:{SECRET}@host:6379/1",
    "broker_url": f"amqp://u:{SECRET}@host//", "data_dir": "/data", "namespace": "fleet-b", "event_types": "a, b.*",
    "concurrency": "7", "retry_base": "1", "rate_limit": "5.5", "operator": "Jo", "log_level": "debug",
    "log_format": "json",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of this machine's own settings."""
    for name in list(os.environ):
        if name.upper().startswith(("CLOSER", "XDG_")):
            monkeypatch.delenv(name)


def refusal(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    """What is said of this variable."""
    monkeypatch.setenv(f"CLOSER_{name.upper()}", value)
    with pytest.raises(ConfigurationError) as raised:
        load()
    return str(raised.value)


@pytest.mark.parametrize("form", ["{}\n", "{}\r\n", " {}", "\t{} ", "\n{}\n"], ids=repr)
@pytest.mark.parametrize("name", GIVEN)
def test_blanks_at_the_ends(monkeypatch: pytest.MonkeyPatch, name: str, form: str) -> None:
    """A line break from a file, and blanks, mean nothing, in every variable but the one that other programs share."""
    monkeypatch.setenv(f"CLOSER_{name.upper()}", GIVEN[name])
    meant = load()
    monkeypatch.setenv(f"CLOSER_{name.upper()}", form.format(GIVEN[name]))
    assert load() == meant
    assert data_dir() == meant.data_dir


@pytest.mark.parametrize(
    "value", ["orders\n", "orders ", " orders", "orders\r\n", "or\nders", "orders\u200b", "\ufefforders"]
)
def test_a_stream_that_nobody_means(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Producers with the same variable may write to the stream with the blank: which one is meant must be told."""
    assert "CLOSER_EVENTS_STREAM: " in (said := refusal(monkeypatch, "events_stream", value))
    assert "it is another name" in said
    assert repr(value) in said


@pytest.mark.parametrize("value", [" ", "\n", "\t \r\n"], ids=repr)
@pytest.mark.parametrize("name", [*GIVEN, "events_stream"])
def test_blank_values(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A variable of blanks only counts as unset, as an empty one does."""
    before = load()
    monkeypatch.setenv(f"CLOSER_{name.upper()}", value)
    assert load() == before
    assert data_dir() == before.data_dir


@pytest.mark.parametrize("quote", ["'", '"', "`"])
@pytest.mark.parametrize("name", [*GIVEN, "events_stream"])
def test_quotes(monkeypatch: pytest.MonkeyPatch, name: str, quote: str) -> None:
    """Quotes round a value are named with what to do, and a secret in them is not repeated."""
    said = refusal(monkeypatch, name, f"{quote}{GIVEN.get(name, 'orders')}{quote}")
    assert f"CLOSER_{name.upper()}: stands in quotes" in said
    assert "write it without" in said
    assert SECRET not in said


@pytest.mark.parametrize("value", ['Jo "the ops"', "O'", '"'])
def test_quotes_inside(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A quotation mark that is not one of a pair round the value is a part of it."""
    monkeypatch.setenv("CLOSER_OPERATOR", value)
    assert load().operator == value


def test_the_data_directory_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A probe finds the data directory where the settings have it, also where both refuse it."""
    monkeypatch.setenv("XDG_DATA_HOME", f"{tmp_path}\n")
    assert data_dir() == load().data_dir == tmp_path / "closer"
    for name, value in [("closer_data_dir", "~/x"), ("CLOSER_DATA_DIR", "/a b\n")]:
        monkeypatch.setenv(name, value)
        assert data_dir() == load().data_dir
    for wrong in ("~nobody-of-this-name/x", "'/a'"):
        said = refusal(monkeypatch, "data_dir", wrong)
        with pytest.raises(ConfigurationError) as raised:
            data_dir()
        assert str(raised.value) in said


def service(name: str, port: int = 8080, named: str = "") -> dict[str, str]:
    """What Kubernetes sets for a service, by its documentation."""
    address, at = "10.3.240.10", f"{name}_PORT_{port}_TCP"
    return {
        f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(port), f"{name}_PORT": f"tcp://{address}:{port}",
        at: f"tcp://{address}:{port}", f"{at}_PROTO": "tcp", f"{at}_PORT": str(port), f"{at}_ADDR": address,
    } | ({f"{name}_SERVICE_PORT_{named}": str(port)} if named else {})  # fmt: skip


SERVICES = ["CLOSER", "CLOSER_REDIS", "CLOSER_API", "CLOSER_SERVICE", "CLOSER_PORT", "CLOSER_HTTP_2"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_of_kubernetes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A service called `closer` or `closer-…` changes nothing, and is not taken for misspelt variables; a typo is."""
    before = load()
    for variable, value in service(name, named="HTTP_ADMIN").items():
        monkeypatch.setenv(variable, value)
    assert load() == before
    assert unknown_variables() == []
    for typo in (
        "CLOSER_REDIS_ULR",
        "CLOSER_PORTS",
        "CLOSER_SERVICE",
        "closer_concurency",
        f"{name}_PORT_8080_TCP_HOST",
    ):
        monkeypatch.setenv(typo, "1")
        assert unknown_variables() == [typo]
        monkeypatch.delenv(typo)


@pytest.mark.parametrize("name", ["CLOSER_PORT", "CLOSER_SERVICE_HOST", "CLOSER_SERVICE_PORT", "CLOSER_REDIS_PORT"])
def test_a_name_like_kubernetes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Kubernetes never sets one of them alone: somebody meant a setting."""
    monkeypatch.setenv(name, "6379")
    assert unknown_variables() == [name]


class Later(Settings):
    """Settings of a release to come, one of which is named as Kubernetes names the port of a service `closer-http`."""

    http_port: int = 8080


def test_a_port_that_kubernetes_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Kubernetes writes into a variable of ours counts as unset; what somebody else writes there counts."""
    for variable, value in service("CLOSER_HTTP").items():
        monkeypatch.setenv(variable, value)
    assert Later().http_port == 8080
    monkeypatch.setenv("CLOSER_HTTP_PORT", "9000")
    assert Later().http_port == 9000


@given(st.sets(st.sampled_from([name for one in SERVICES for name in service(one, named="X")])))
def test_any_mixture_of_services(names: set[str]) -> None:
    """Whatever is set, what counts as Kubernetes' own belongs to a service with both a host and a port."""
    for name in of_kubernetes(names):
        assert any({f"{one}_SERVICE_HOST", f"{one}_SERVICE_PORT"} <= names and name.startswith(one) for one in SERVICES)


READ = """
from worker.settings import load
settings = load()
assert settings.events_stream == "Größe", ascii(settings.events_stream)
assert settings.operator == "Jörg à", ascii(settings.operator)
assert settings.redis_url.get_secret_value() == "redis://:geheimß@h/0"
import os
assert os.fsencode(settings.data_dir) == "/Ablage à".encode()
from worker.observe.redaction import redact
assert redact("geheimß") == "***"
"""
C = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize("locale", [C, {"PYTHONUTF8": "1"}], ids=["C", "UTF-8"])
def test_any_locale(locale: dict[str, str]) -> None:
    """A value is read as UTF-8 in every locale, and the data directory by its bytes."""
    values = {
        "events_stream": "Größe",
        "operator": "Jörg à\n",
        "redis_url": "redis://:geheimß@h/0",
        "data_dir": "/Ablage à",
    }
    given = os.environ | {f"CLOSER_{name.upper()}": value for name, value in values.items()} | locale
    subprocess.run([sys.executable, "-c", ascii_only(READ)], env=given, check=True, timeout=60)


def ascii_only(program: str) -> str:
    """The program with its letters escaped, so that the locale does not matter for it."""
    return "".join(char if char.isascii() else ascii(char)[1:-1] for char in program)


def test_bytes_that_are_not_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value in another encoding is named."""
    assert "CLOSER_OPERATOR: holds bytes that are not UTF-8" in refusal(monkeypatch, "operator", "J\udcf6rg")
