"""Which replicas have seen the beginning of a prompt."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

_DIGEST_BYTES = 8


def block_hashes(text: str, block_chars: int, max_blocks: int) -> list[int]:
    """One number for each whole block of the text, which stands for everything up to its end.

    Two texts that begin alike have the first numbers in common and no later ones.
    """
    hashes = []
    state = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    blocks = min(len(text) // block_chars, max_blocks)
    for block in range(blocks):
        part = text[block * block_chars : (block + 1) * block_chars]
        state.update(part.encode("utf-8", "surrogatepass"))
        hashes.append(int.from_bytes(state.digest(), "little"))
    return hashes


class PrefixTable:
    """For each replica the blocks of the prompts it was sent, the least recently used forgotten.

    It is what a router remembers, not what a replica holds: a replica may have let go of a prefix,
    which then costs a prompt's computation and nothing else.
    """

    def __init__(self, max_remembered: int) -> None:
        self._max = max_remembered
        self._blocks: dict[str, OrderedDict[int, None]] = {}

    def __len__(self) -> int:
        """Replicas that something is remembered of."""
        return len(self._blocks)

    def remembered(self, replica: str) -> int:
        """Blocks that are remembered of a replica."""
        return len(self._blocks.get(replica, ()))

    def matched(self, replica: str, hashes: Sequence[int]) -> int:
        """How many of a prompt's first blocks the replica has seen."""
        blocks = self._blocks.get(replica)
        if not blocks:
            return 0
        count = 0
        for block in hashes:
            if block not in blocks:
                break
            count += 1
        return count

    def insert(self, replica: str, hashes: Sequence[int]) -> None:
        """The replica was sent a prompt of these blocks."""
        blocks = self._blocks.setdefault(replica, OrderedDict())
        # The last first: a later block is of no use without those before it, so it goes earlier.
        for block in reversed(hashes):
            blocks[block] = None
            blocks.move_to_end(block)
        while len(blocks) > self._max:
            blocks.popitem(last=False)

    def forget(self, replica: str) -> None:
        """The replica is gone."""
        self._blocks.pop(replica, None)

    def keep_only(self, replicas: set[str]) -> None:
        """All others are gone."""
        for replica in set(self._blocks) - replicas:
            self.forget(replica)
