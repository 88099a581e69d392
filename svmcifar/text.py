"""Text that others chose, such as names of classes and files, made harmless where it is shown."""

import re
from html import escape

# What a terminal obeys (ASCII's and Latin-1's controls), what reorders or hides text around it
# (Unicode's bidirectional controls, tags), ends a line elsewhere, or has no place in XML or UTF-8.
_CONTROLS = r"\x00-\x09\x0b-\x1f\x7f-\x9f"
_UNSEEN = r"\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
_HIDDEN = re.compile(f"[{_CONTROLS}{_UNSEEN}\ud800-\udfff\U000e0000-\U000e007f]")
_CONTROL = re.compile(f"[{_CONTROLS}]")
# What Markdown obeys within a line, GitHub's links of addresses included.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_MOST_SHOWN = 60
_MOST_OF_ERROR = 2000


def visible(text: str) -> str:
    r"""Escape every character that controls a terminal or cannot be seen, but line feeds.

    Bytes of file names that are not UTF-8 are escaped as bytes.

    Examples
    --------
    >>> print(visible("a\x1b[31mb\u202ec\udce9"))
    a\x1b[31mb\u202ec\xe9
    """
    return _HIDDEN.sub(_escape, text)


def one_line(text: str) -> str:
    """Escape line feeds besides what `visible` escapes."""
    return visible(text).replace("\n", r"\x0a")


def shortened(text: str) -> str:
    """Return a name for tables and figures: one visible line, cut at 60 characters."""
    text = one_line(text[: 2 * _MOST_SHOWN])
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def shown_name(name: str) -> str:
    """Return a class name as `shortened` does, with spaces instead of underscores."""
    return shortened(name).replace("_", " ")


def error_line(text: str) -> str:
    """Return a message in one line, without the middle of one that nobody would read.

    Messages quote what files hold, and end with what to do.
    """
    text = " ".join(text.split())
    if len(text) <= _MOST_OF_ERROR:
        return text
    return f"{text[: _MOST_OF_ERROR * 3 // 4]} … {text[-_MOST_OF_ERROR // 4 :]}"


def markdown(text: str) -> str:
    r"""Return one line of Markdown, also of a table's cell, that shows a text as it is.

    Examples
    --------
    >>> print(markdown("a_b <i>[x](//y)|"))
    a\_b &lt;i&gt;\[x\](//y)\|
    """
    return _MARKDOWN.sub(r"\\\1", escape(one_line(text), quote=False)).replace("@", "&#64;")


def csv_cell(value: object) -> object:
    """Return a CSV's cell: a text without control characters that no spreadsheet computes.

    An apostrophe is put before texts that begin as a formula does; other values stay as they are.
    """
    if not isinstance(value, str):
        return value
    text = _CONTROL.sub(_escape, value)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte, by the error handler "surrogateescape"
        code -= 0xDC00
    width = 2 if code < 0x100 else 4 if code < 0x10000 else 8
    return f"\\{'xuU'[width // 4]}{code:0{width}x}"
