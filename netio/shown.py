"""What may be shown to people: text of a peer without what a terminal obeys, and numbers of bytes.

A terminal obeys control characters: a peer could retitle the window, repaint what stands above, or write lines of a log
that nobody has logged (HAZARDS LOG-02).
"""

from __future__ import annotations

# C0 and C1 controls; the line and paragraph separators; the marks that turn the direction of writing, with which a
# text can be shown as another (CVE-2021-42574).
_DANGEROUS = [*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
_LINE = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _DANGEROUS}
_TEXT = {code: shown for code, shown in _LINE.items() if chr(code) not in "\t\n"}


def escaped_line(text: str) -> str:
    """Return the text on one line without anything that a terminal obeys."""
    return text.translate(_LINE)


def escaped_text(text: str) -> str:
    """Return the text without anything that a terminal obeys but tabs and line feeds."""
    return text.translate(_TEXT)


def shown_bytes(number: int) -> str:
    """Write a number of bytes with three digits and its unit, 1 kB being 1,000."""
    if number < 1_000:
        return f"{number} B"
    size = float(number)
    for unit in ("kB", "MB", "GB"):
        size /= 1_000
        if size < 999.5:
            return f"{size:.3g} {unit}"
    return f"{size / 1_000:,.4g} TB"
