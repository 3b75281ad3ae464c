"""NO_PROXY: each kind of entry that other programs read means the same here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.api.no_proxy import is_exempt


@pytest.mark.parametrize(
    "entry",
    [
        "*", "api.corp", "API.Corp", "api.corp.", ".corp", "corp", "*.corp", "*.Corp.", "api.*", "a*p",
        "api.corp:8443", ".corp:8443", "*.corp:8443", "*:8443", "other, corp", "other corp", "\tother,,corp\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("host", ["api.corp", "API.CORP", "api.corp."])
def test_a_name_that_is_exempt(entry: str, host: str) -> None:
    """A name means itself and what is under it, in any case, with or without dots, a star or the right port."""
    assert is_exempt(host, 8443, entry)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        ",",
        ".",
        "pi.corp",
        "api",
        "x.api.corp",
        "corp.api",
        "api.corp:443",
        ":8443",
        "10.0.0.0/8",
        "*.api.corp:8",
    ],
)
def test_a_name_that_is_not(entry: str) -> None:
    """A part of a name, another port, and a network do not mean it."""
    assert not is_exempt("api.corp", 8443, entry)


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        ("10.1.2.3", "10.1.2.3"), ("10.1.2.3", "10.1.2.3:443"), ("10.1.2.3", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/8"),
        ("10.1.2.3", "10.0.0.0/255.0.0.0"), ("10.1.2.3", "10.*"), ("10.1.2.3", "::ffff:10.1.2.3"),
        ("10.1.2.3", "192.168.0.0/16,10.0.0.0/8"), ("::ffff:10.1.2.3", "10.0.0.0/8"),
        ("fd00::1", "fd00::1"), ("fd00::1", "[fd00::1]"), ("fd00::1", "[FD00:0:0::1]:443"), ("fd00::1", "fd00::/8"),
        ("fd00::1", "[fd00::]/8"),
    ],
)  # fmt: skip
def test_an_address_that_is_exempt(host: str, entry: str) -> None:
    """An address is meant by itself in any notation, with the right port, and by its network."""
    assert is_exempt(host, 443, entry)


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        ("10.1.2.3", "10.1.2.4"), ("10.1.2.3", "10.1.2.3:80"), ("10.1.2.3", "11.0.0.0/8"), ("10.1.2.3", "fd00::/8"),
        ("fd00::1", "fd00::2"), ("fd00::1", "[fd00::1]:80"), ("fd00::1", "10.0.0.0/8"), ("10.1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_an_address_that_is_not(host: str, entry: str) -> None:
    """Another address, port or network does not mean it; nor does a part of it."""
    assert not is_exempt(host, 443, entry)


@given(st.text(max_size=40), st.sampled_from(["api.corp", "10.1.2.3", "fd00::1"]))
def test_any_text(no_proxy: str, host: str) -> None:
    """Any text is read, or refused in our own words."""
    try:
        is_exempt(host, 443, no_proxy)
    except ValueError as error:
        assert "cannot be read" in str(error)  # noqa: PT017
