"""Text that others chose, made visible."""

import pytest

from svmcifar.text import error_line, one_line, shortened, shown_name, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\0\t\r\x7f\x9b", r"\x00\x09\x0d\x7f\x9b"),
        ("\u202e\u2066\u200f\ufeff\uffff", r"\u202e\u2066\u200f\ufeff\uffff"),
        ("\U000e0041", r"\U000e0041"),
        ("\udce9", r"\xe9"),
        ("\ud800", r"\ud800"),
    ],
)
def test_hidden_characters_are_escaped(text, expected):
    assert visible(text) == one_line(text) == expected


@pytest.mark.parametrize("text", ["", "a b", "ü 日本 مرحبا", "e\u0301", "👩\u200d🚀", "\xa0–\\"])
def test_other_text_stays_as_it_is(text):
    assert visible(text) == one_line(text) == text


def test_line_feeds():
    assert visible("a\nb") == "a\nb"
    assert one_line("a\nb") == r"a\x0ab"


def test_long_errors_keep_their_beginning_and_their_end():
    message = error_line(f"a.npz: got\n{'x' * 10**6}; rename it")
    assert message.startswith("a.npz: got xxx")
    assert message.endswith("xxx; rename it")
    assert " … " in message
    assert len(message) < 2010
    assert error_line("y" * 2000) == "y" * 2000


@pytest.mark.parametrize("n", [0, 1, 59, 60, 61, 5000])
@pytest.mark.parametrize("letter", ["x", "\x1b"])
def test_long_names_are_cut(n, letter):
    text = shortened(n * letter)
    assert len(text) <= 60
    assert text == visible(n * letter) or (text.endswith("…") and len(text) == 60)


def test_names_of_classes():
    assert shown_name("maple_tree") == "maple tree"
