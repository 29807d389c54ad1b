"""Shows strings from outside safely: in a report, a log line or a terminal."""

SHOWN_CHARACTERS = 80


def escape(text: str) -> str:
    r"""`text` with everything that does not print, or that reorders what is printed, as an escape.

    Letters of any script stay readable; lone surrogates (undecodable bytes of a file name) read `\xff`.
    """
    return text if text.isprintable() else "".join(map(_escape_character, text))


def shorten(text: str, length: int = SHOWN_CHARACTERS) -> str:
    """`text` escaped and cut at `length` characters."""
    shown = escape(text[: length + 1])
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def _escape_character(character: str) -> str:
    code = ord(character)
    if character.isprintable():
        return character
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, kept by surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
