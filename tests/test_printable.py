"""Text from outside, on one line."""

from edged.printable import LONGEST, printable


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[31mred\r\n\x00\u2028é") == "a\\x1b[31mred\\r\\n\\x00\\u2028é"


def test_a_long_text_is_cut_after_escaping() -> None:
    shown = printable("\x00" * 1000)
    assert len(shown) == LONGEST
    assert shown.endswith("…")
    assert printable("x" * LONGEST) == "x" * LONGEST
