"""The proxy and the certificates of the environment: they work, or are refused by the variable's name."""

from __future__ import annotations

import os
from pathlib import Path

import certifi
import pytest

from tasks.api.egress import certificates, proxy_of
from tasks.errors import ConfigurationError

API = "https://api.sorted.com/pro"
SECRET = "hunter2"
VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of this machine's own proxies and certificates."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in VARIABLES:
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://proxy.corp:3128", "http://proxy.corp:3128"),
        ("https://proxy.corp", "https://proxy.corp"),
        ("proxy.corp:3128", "http://proxy.corp:3128"),
        ("proxy.corp", "http://proxy.corp"),
        ("10.0.0.1:3128", "http://10.0.0.1:3128"),
        (f"user:{SECRET}@proxy.corp:3128", "http://proxy.corp:3128"),
        (" http://proxy.corp:3128\n", "http://proxy.corp:3128"),
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_that_is_used(monkeypatch: pytest.MonkeyPatch, name: str, given: str, used: str) -> None:
    """A proxy is used as it is given; without a scheme it is an HTTP proxy, as for curl."""
    monkeypatch.setenv(name, given)
    proxy = proxy_of(API)
    assert proxy is not None
    assert str(proxy.url) == used
    assert ("Proxy-Authorization" in proxy.headers) == (SECRET in given)
    assert SECRET not in repr(proxy)


@pytest.mark.parametrize(
    "given",
    [
        f"socks5://user:{SECRET}@proxy:1080",
        "socks5h://proxy:1080",
        "socks4://proxy:1080",
        "ftp://proxy",
        f"http://user:{SECRET}@proxy:99999",
        f"http://user:pa/{SECRET}@proxy:port",
        "http://[::1",
        "http://",
        "http://:3128",
        "://",
        "http://a b",
        '"http://proxy:3128"',
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_that_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, given: str) -> None:
    """What cannot be a proxy is refused by the name of its variable, which says what to set; no password is told."""
    monkeypatch.setenv(name, given)
    with pytest.raises(ConfigurationError) as raised:
        proxy_of(API)
    assert str(raised.value).startswith(f"{name}: ")
    assert "http://HOST:PORT" in str(raised.value)
    assert "api.sorted.com in NO_PROXY" in str(raised.value)
    assert SECRET not in str(raised.value)


def test_the_schemes_own_proxy_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """ALL_PROXY counts only where no variable names a proxy for the scheme; then nothing is wrong with it either."""
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy:1080")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.corp:3128")
    proxy = proxy_of(API)
    assert proxy is not None
    assert str(proxy.url) == "http://proxy.corp:3128"


@pytest.mark.parametrize("variables", [{}, {"HTTP_PROXY": "socks5://x"}, {"HTTPS_PROXY": ""}, {"ALL_PROXY": " "}])
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Without a proxy for this scheme there is none, and a wrong one for another scheme does no harm."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(API) is None


def test_a_host_that_no_proxy_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that would be refused is not looked at for a host that needs none."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://x")
    monkeypatch.setenv("NO_PROXY", "api.sorted.com")
    assert proxy_of(API) is None


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "http://api.sorted.com", "host:port", "host:99999", "10.0.0.0/8:443"])
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_an_entry_that_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, entry: str) -> None:
    """An entry of NO_PROXY that cannot be read is named, unless it makes no difference."""
    monkeypatch.setenv(name, f"other.corp,{entry}")
    assert proxy_of(API) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.corp:3128")
    with pytest.raises(ConfigurationError) as raised:
        proxy_of(API)
    assert str(raised.value).startswith(f"{name}: the entry '{entry}' cannot be read")
    monkeypatch.setenv(name, f"{entry},api.sorted.com")
    assert proxy_of(API) is None


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Path]:
    """Files and directories that hold no certificates, by what they are."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "no-pem").write_text("not a certificate")
    (tmp_path / "unhashed").mkdir()
    (tmp_path / "unhashed" / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    return {name: tmp_path / name for name in ("missing", "empty", "no-pem", "unhashed")}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SSL_CERT_FILE", "missing"), ("SSL_CERT_FILE", "empty"), ("SSL_CERT_FILE", "no-pem"),
        ("SSL_CERT_DIR", "missing"), ("SSL_CERT_DIR", "empty"), ("SSL_CERT_DIR", "no-pem"),
        ("SSL_CERT_DIR", "unhashed"), ("SSLKEYLOGFILE", "empty"),
    ],
)  # fmt: skip
def test_certificates_that_are_refused(
    monkeypatch: pytest.MonkeyPatch, odd: dict[str, Path], name: str, kind: str
) -> None:
    """Certificates that cannot be read are refused by the name of their variable and by its value."""
    monkeypatch.setenv(name, str(odd[kind]))
    with pytest.raises(ConfigurationError) as raised:
        certificates()
    assert str(raised.value).startswith(f"{name} is {str(odd[kind])!r}")


def test_certificates_that_are_used(monkeypatch: pytest.MonkeyPatch, odd: dict[str, Path]) -> None:
    """A file of certificates is used; a list of directories needs one that OpenSSL finds certificates in."""
    assert certificates().cert_store_stats()["x509_ca"] > 0
    monkeypatch.setenv("SSL_CERT_DIR", f"{odd['missing']}:{odd['empty']}")
    (odd["empty"] / "0a1b2c3d.0").touch()
    certificates()
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    assert certificates().cert_store_stats()["x509_ca"] > 0
