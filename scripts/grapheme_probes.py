"""How `tokenizers` joins code points to characters (extended grapheme clusters).

Only the normalizer `Precompiled` does, and it shows little of it: a character of less than six
bytes whose first code point has a replacement becomes that replacement, whatever follows in it. So
a table of replacements made here, and marks of two bytes behind the code points in question, tell
where it cut.
"""

from __future__ import annotations

import struct

from tokenizers import normalizers

MARK, JOINER = "\u0301", "\u200d"
COPYRIGHT = "\u00a9"  # a pictograph of two bytes
KA, VIRAMA = "\u0915", "\u094d"  # a consonant and the linker of its script
# In the order of GraphemeClass (src/text/unicode_tables.h).
OTHER, CONTROL, EXTEND, LINKER, APART, SPACING, PREPEND, PICTOGRAPH, CONSONANT = range(9)


def double_array(keys: dict[bytes, int]) -> list[int]:
    """A trie in the form of the Darts library, as Precompiled reads it."""
    trie: dict = {}
    for key, value in keys.items():
        node = trie
        for byte in key:
            node = node.setdefault(byte, {})
        node[None] = value
    units, used = [0] * 1024, {0}
    first_free = 1

    def place(position: int, node: dict) -> None:
        nonlocal first_free
        labels = [0 if byte is None else byte for byte in node]
        base = first_free
        while any((base ^ label) in used for label in labels) or (position ^ base) >= 1 << 21:
            base += 1
        while first_free in used:
            first_free += 1
        used.update(base ^ label for label in labels)
        while len(units) <= base | 255:
            units.extend([0] * 1024)
        units[position] |= (position ^ base) << 10 | (256 if None in node else 0)
        for byte, child in node.items():
            if byte is None:
                units[base] = 1 << 31 | child
            else:
                units[base ^ byte] = byte
                place(base ^ byte, child)

    place(0, trie)
    return units


def replacing(characters: list[str]) -> normalizers.Normalizer:
    """A Precompiled that replaces each of these code points by X."""
    units = double_array({c.encode(): 0 for c in characters})
    blob = struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + b"X\0"
    return normalizers.Precompiled(blob)


def kept_marks(code_points: list[int], before: str, after: str, replaced: str) -> set[int]:
    """Code points c for which the mark that ends `before c after` is kept: it was not in a short
    character with a replaced beginning. `replaced` is what is replaced, "" for c itself."""
    kept: set[int] = set()
    for start in range(0, len(code_points), 512):
        chunk = code_points[start : start + 512]
        normalizer = replacing([replaced] if replaced else [chr(c) for c in chunk])
        for c in chunk:
            text = before + chr(c) + after
            if normalizer.normalize_str(text).endswith(MARK):
                kept.add(c)
    return kept


def joined_to_a(code_points: list[int]) -> set[int]:
    """Code points that belong to the letter before them."""
    normalizer = replacing(["a"])
    return {c for c in code_points if normalizer.normalize_str("a" + chr(c)) == "X"}


def grapheme_classes(code_points: list[int]) -> dict[int, int]:
    """Classes of all code points whose class is not OTHER."""
    code_points = [c for c in code_points if c not in (0, 0xA, 0xD, 0x200D)]
    found = {0: CONTROL}  # nothing that contains it can be probed
    joined = joined_to_a(code_points)
    rest = [c for c in code_points if c not in joined]
    # Nothing joins a control, not even marks: they are a character of their own.
    open_to_marks = kept_marks(rest, "", "\u0302" + MARK, "\u0302")
    found.update((c, CONTROL) for c in rest if c not in open_to_marks)
    rest = [c for c in rest if c not in found]
    # A letter with a mark loses it, unless it belongs to a character that does not begin with it.
    found.update(dict.fromkeys(kept_marks(rest, "", "a" + MARK, "a"), PREPEND))
    rest = [c for c in rest if c not in found]
    pictographs = kept_marks(rest, "", JOINER + COPYRIGHT + MARK, COPYRIGHT)
    found.update(dict.fromkeys(pictographs, PICTOGRAPH))
    rest = [c for c in rest if c not in found]
    consonants = kept_marks([c for c in rest if len(chr(c).encode()) < 4], KA + VIRAMA, MARK, "")
    found.update(dict.fromkeys(consonants, CONSONANT))
    marks = sorted(joined)
    extending = kept_marks(marks, COPYRIGHT, JOINER + COPYRIGHT + MARK, COPYRIGHT)
    linkers = kept_marks(marks, KA, KA + MARK, KA)
    across = kept_marks(marks, KA + VIRAMA, KA + MARK, KA)
    for c in marks:
        if c in linkers:
            found[c] = LINKER
        elif c not in extending:
            found[c] = SPACING
        else:
            found[c] = EXTEND if c in across else APART
    return found
