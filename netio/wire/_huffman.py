"""The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), for decoding.

The code is canonical: the codes of one length are consecutive numbers in the order of their symbols, so the lengths say
it all. It is read a byte at a time by an automaton whose states are the inner nodes of the code's tree. Its steps are
made when first needed: a response uses few of the 65,536, and none may be needed at all.
"""

from __future__ import annotations

_EOS = 256

# The length of the code of each symbol, as digits to base 36; the last one is EOS.
_LENGTHS = (
    "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca"
    "d67777777777777777777777878djde6f56565666577666567655677777fbeds"
    "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn"
    "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq"
    "u"
)

Step = tuple[int, str]
"""The next state, shifted left by eight bits, and the text that came of the byte."""

steps: dict[int, Step] = {}
"""The step from a state (shifted) by a byte, as far as it was needed."""


class HuffmanError(Exception):
    """A string that the code cannot produce."""


def codes() -> list[tuple[int, int]]:
    """Return code and length in bits of each symbol."""
    lengths = [int(digit, 36) for digit in _LENGTHS]
    made = [(0, 0)] * len(lengths)
    code = length = 0
    for symbol in sorted(range(len(lengths)), key=lengths.__getitem__):
        code <<= lengths[symbol] - length
        length = lengths[symbol]
        made[symbol] = (code, length)
        code += 1
    return made


def _tree() -> tuple[list[list[int]], frozenset[int]]:
    """Return the children of each inner node, and the states in which a string may end.

    A child is a node, or the complement of a symbol. A string may end with up to seven bits of padding, which are the
    begin of EOS: all ones.
    """
    children = [[0, 0]]
    for symbol, (code, length) in enumerate(codes()):
        node = 0
        for place in range(length - 1, 0, -1):
            bit = code >> place & 1
            if not children[node][bit]:
                children[node][bit] = len(children)
                children.append([0, 0])
            node = children[node][bit]
        children[node][code & 1] = ~symbol
    ends = [0]
    while len(ends) < 8:
        ends.append(children[ends[-1]][1])
    return children, frozenset(node << 8 for node in ends)


_CHILDREN, _ENDS = _tree()


def _step(state: int, byte: int) -> Step:
    node = state >> 8
    text = ""
    for place in range(7, -1, -1):
        node = _CHILDREN[node][byte >> place & 1]
        if node < 0:
            if ~node == _EOS:
                raise HuffmanError("a Huffman string holds EOS")
            text += chr(~node)
            node = 0
    step = steps[state | byte] = (node << 8, text)
    return step


def decode(data: bytes) -> str:
    """Return the text of a Huffman string as latin-1. Raises `HuffmanError`."""
    state = 0
    texts: list[str] = []
    known = steps
    for byte in data:
        step = known.get(state | byte)
        if step is None:
            step = _step(state, byte)
        state, text = step
        texts.append(text)
    if state not in _ENDS:
        raise HuffmanError("a Huffman string ends with bits that are no padding")
    return "".join(texts)
