"""Where a request goes: to a replica that has computed its beginning, or to one with room."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dms_ray.settings import RoutingSettings


@dataclass(frozen=True)
class Candidate:
    """What is known of one replica."""

    replica: str
    matched_blocks: int = 0
    """Of the prompt's first ones, those it has seen."""
    ongoing: int = 0
    """Requests that were sent there and have not ended."""
    free_kv: float | None = None
    """Share of its KV memory that running requests leave; None: not known, or no limit."""
    waiting: int = 0
    """Requests that its engine has not begun, for want of room."""


def free_kv_share(stats: Mapping[str, Any]) -> float | None:
    """What a replica's record_routing_stats() says of its memory."""
    limit, running = stats.get("kv_limit_bytes", 0), stats.get("kv_running_bytes", 0)
    return max(0.0, 1 - running / limit) if limit > 0 else None


def owner_of(pin: str, replicas: Iterable[str]) -> str:
    """The replica of a document or slot, the same for who knows the same replicas. Where one comes
    or goes, only what becomes its or was its moves (rendezvous hashing)."""
    return max(replicas, key=lambda replica: hashlib.blake2b(f"{pin}\0{replica}".encode()).digest())


class Placement:
    """The decision, by itself: no Ray, no clock, and its random choices from `rng`."""

    def __init__(self, settings: RoutingSettings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng

    def ranks(self, candidates: Sequence[Candidate]) -> list[list[str]]:
        """Replicas in groups, the better ones first; in a group the least busy one is to be taken.

        1. Those that have seen most of the prompt, where they have memory and are not much busier
           than the others: else a popular prefix would keep all requests on one replica.
        2. Two at random of those that have memory: the power of two choices.
        3. All, so that a request waits for whoever is free first.
        """
        with_room = [each for each in candidates if self._has_room(each)] or list(candidates)
        by_prefix = self._with_longest_prefix(with_room)
        two = self._rng.sample(with_room, min(2, len(with_room)))
        groups = [by_prefix, two, list(candidates)]
        return [[each.replica for each in group] for group in groups if group]

    def _has_room(self, candidate: Candidate) -> bool:
        is_short = candidate.free_kv is not None and candidate.free_kv < self._settings.min_free_kv
        return not is_short and candidate.waiting <= self._settings.max_waiting

    def _with_longest_prefix(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        if not candidates:
            return []
        least = min(each.ongoing for each in candidates)
        near = [e for e in candidates if e.ongoing - least <= self._settings.max_imbalance]
        longest = max(each.matched_blocks for each in near)
        return [each for each in near if each.matched_blocks == longest] if longest > 0 else []
