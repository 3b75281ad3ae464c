"""Addresses for people: nothing that is shown comes from a password, whatever the password is."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.api.address import UNREADABLE, is_readable, public_address

# How an address is written, and what may be shown of it.
FORMS = {
    "redis://:{}@h/0": "redis://h/0",
    "redis://user:{}@host:6379/2": "redis://host:6379/2",
    "rediss://user:{}@host:6380?ssl_cert_reqs=required": "rediss://host:6380",
    "amqp://user:{}@rabbit:5672//": "amqp://rabbit:5672//",
    "amqp://user:{}@rabbit/vhost": "amqp://rabbit/vhost",
    "amqp://user:{0}@a;amqp://user:{0}@b/v": "amqp://a;amqp://b/v",
    "amqps://user:{}@[::1]:5671/": "amqps://[::1]:5671/",
    "unix://user:{}@/run/store.sock": "unix:///run/store.sock",
    "unix:///run/store.sock?password={}": "unix:///run/store.sock",
    "redis://h/0?password={}": "redis://h/0",
    "http://user:{}@proxy:3128": "http://proxy:3128",
    "https://user:{}@proxy.corp:3128/": "https://proxy.corp:3128/",
}
PASSWORDS = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=30),
    st.text("/?#@:;[]%\\&= .0123456789abc\n\t\0", max_size=30),
    st.lists(st.sampled_from(["hunter", "2", "/", "?", "#", "@", ":", ";", "[", "]", "%", "%40", "://", "h", "redis"]))
    .map("".join),
)  # fmt: skip


@given(st.sampled_from(sorted(FORMS)), PASSWORDS)
@example("redis://:{}@h/0", "12/SECRET")
@example("redis://:{}@h/0", "hunter;2secret")
@example("redis://:{}@h/0", "a@b/c")
@example("redis://user:{}@host:6379/2", "12;redis://secret")
@example("redis://user:{}@host:6379/2", "x@y;redis://secret")
@example("amqp://user:{}@rabbit/vhost", "pa/SECRET")
@example("http://user:{}@proxy:3128", "80/%40")
def test_nothing_of_a_password_is_shown(form: str, password: str) -> None:
    """What is shown is the address without user and password, to the letter, or nothing of it."""
    assert public_address(form.format(password)) in (FORMS[form], UNREADABLE)


@given(st.sampled_from(sorted(FORMS)), st.text("abcXYZ019-._~!$&'()*+,=:%", min_size=1, max_size=30))
def test_an_ordinary_password_hides_no_address(form: str, password: str) -> None:
    """With a password of characters that may stand there, the rest of the address is shown."""
    assert public_address(form.format(password)) == FORMS[form]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://", "redis://"),
        ("redis:///0", "redis:///0"),
        ("sentinel://a:26379;sentinel://b:26379/0", "sentinel://a:26379;sentinel://b:26379/0"),
        ("amqp://u:p@a;amqp://u:p@b", "amqp://a;amqp://b"),
        ("amqp://u:p@h/team%40corp", "amqp://h/team%40corp"),
        ("redis://u:p;w@bücher:1/0", "redis://bücher:1/0"),
        ("https://api.sorted.com/pro", "https://api.sorted.com/pro"),
    ],
)
def test_shown(url: str, shown: str) -> None:
    """Host, port and path are shown, of each address in a list."""
    assert public_address(url) == shown
    assert is_readable(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy.corp:3128",
        "user:secret@proxy.corp:3128",
        "redis://:12/SECRET@h/0",
        "redis://:secret/0",
        "redis://:secret%40host/0",
        "redis://user:12%2Fsecret%40host/0",
        "redis://user:12/secret%40host/0",
        "redis://host:123456",
        "amqp://u:pa/SECRET@h/",
        "amqp://u:a@b/c@d/",
        "amqp://u:1;amqp://secret@h/",
        "redis://h/0\x1b[2J",
        "re\ndis://h/0",
    ],
)
def test_not_repeated(url: str) -> None:
    """An address that can be read in two ways, or not at all, is not repeated."""
    assert public_address(url) == UNREADABLE
    assert not is_readable(url)
