"""References in lines: what people and spreadsheets put round them does not count, and nobody's guess does."""

from __future__ import annotations

import itertools

import pytest

from worker.operations.reference_lines import Line, read

SEVERAL = "has several values, and no first line names a column `reference`"


def lines(text: bytes, *, events: bool = False) -> list[Line]:
    """What a file holds."""
    return list(read([(f"line {n}", line) for n, line in enumerate(text.splitlines(keepends=True), 1)], events=events))


def references(text: bytes) -> list[str]:
    """The references in a file that has no wrong line."""
    found = [line for line in lines(text) if not line.header]
    assert [line.problem for line in found if line.problem] == []
    return [line.reference for line in found]


@pytest.mark.parametrize(
    "text",
    [
        b"a\nb-1\n",
        b"a\nb-1",
        b"\xef\xbb\xbfa\r\nb-1\r\n",
        b"a\n\xef\xbb\xbfb-1\n",  # two files, one after the other
        b"\n  a \n\n\t\nb-1\t\n\n",
        "\u00a0a\u00a0\n\u200bb-1\n".encode(),
        b'"a"\n"b-1"\n',
        b"'a',\n'b-1'\n",
        b"`a`;\n`b-1`;\n",
        "\u201ca\u201d\n\u2018b-1\u2019\n".encode(),
        b"a,\nb-1,\n",
        b",,\n,a,,\n;b-1\n",
        b"reference\na\nb-1\n",
        b"\xef\xbb\xbfReference\r\na\r\nb-1\r\n",
        b'"shipment_group_reference"\n"a"\n"b-1"\n',
        b"references:\na\nb-1\n",
        b"site,reference,note\nLHR,a,\nLHR,b-1,x\n",
        b"site;Group Reference;note\nLHR;a\n,;,\nLHR;b-1;x\n",
        b"site\treference\nLHR\ta\nLHR\tb-1\n",
        b'"site","reference"\n"Leeds, UK","a"\n"Leeds, ""UK""","b-1"\n',
        b"site, reference\nLHR, a\nLHR, b-1\n",
    ],
)
def test_references_are_found_in_what_people_write(text: bytes) -> None:
    """A byte order mark, any line end, blanks, quotes, commas and a header do not count."""
    assert references(text) == ["a", "b-1"]


@pytest.mark.parametrize(
    "text", [b"", b"\n\r\n", b" , ,\n", b'""\n', b"\xef\xbb\xbf", b"reference\n", b"site,reference\n\n"]
)
def test_a_file_may_hold_nothing(text: bytes) -> None:
    """It names no reference, and no line of it is wrong."""
    assert [line for line in lines(text) if not line.header] == []


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        (b"a\nbad ref\n", "line 2", '"bad ref" is not a reference'),
        (b"a\n../x\n", "line 2", '"../x" is not a reference'),
        (b"caf\xe9\n", "line 1", '"caf\\xe9" is not a reference'),
        (b"x" * 129, "line 1", "is not a reference"),
        (b"x" * 200_000, "line 1", f'"{"x" * 80}…" is not a reference'),
        (b"{" + b'"reference": "a"}', "line 1", "is not a reference"),
        (b"\n\na,LHR\n", "line 3", f'"a,LHR" {SEVERAL}'),
        (b"a b\n", "line 1", '"a b" is not a reference'),
        (b"ref,group\na,b\n", "line 1", SEVERAL),
        (b"site,reference\nLHR,a\nLHR\n", "line 3", '"LHR" has nothing in the column of the references'),
        (b"site,reference\nLHR,a b\n", "line 2", '"a b" is not a reference'),
        ("a\n".encode("utf-16"), "line 1", "this is UTF-16"),
        (b"a\x00\n", "line 1", "is not a reference"),
    ],
)
def test_a_wrong_line_is_named(text: bytes, where: str, words: str) -> None:
    """Its place and what stands there are told; of several values nobody can tell which one is meant."""
    wrong = [line for line in lines(text) if line.problem]
    assert wrong[0].where == where
    assert words in wrong[0].problem


def test_a_header_is_told() -> None:
    """Whoever has a group of that name sees that it was not taken for one."""
    assert lines(b"Reference\na\n") == [Line("line 1", header='"Reference"'), Line("line 2", "a")]


def test_events_stand_beside_references_where_they_may() -> None:
    """An event's bytes stay as they are, but for a byte order mark and blanks round them."""
    found = lines(b'\xef\xbb\xbf {"reference": "a", "x": "\xff"} \r\nb\n', events=True)
    assert found == [Line("line 1", event=b'{"reference": "a", "x": "\xff"}'), Line("line 2", "b")]


def test_not_every_wrong_line_is_told() -> None:
    """A file that is something else altogether is read no further than to the thousandth wrong line."""
    endless = itertools.count(1)
    found = list(read((f"line {number}", b"?\n") for number in endless))
    assert (next(endless), len(found)) == (1001, 1001)
    assert found[-1].problem == "so many lines are wrong that those after it were not read"
