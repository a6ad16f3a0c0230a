"""Ray Serve's request router that sends prompts with the same beginning to the same replica.

Ray's own (`ray.serve.llm`'s PrefixCacheAffinityRouter) can't be imported without vLLM or SGLang,
and knows nothing of KV bytes. Each handle has a router, and so a memory, of its own: with one
ingress replica all requests meet in one, with several a prefix may be computed once for each.
"""

from __future__ import annotations

import random
from typing import Any

from ray.serve.request_router import (
    LocalityMixin,
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

from dms_ray.asks import Ask
from dms_ray.placement import Candidate, Placement, free_kv_share
from dms_ray.prefixes import PrefixTable, block_hashes
from dms_ray.settings import RoutingSettings


class PrefixRouter(LocalityMixin, RequestRouter):
    """Routes by Placement; settings are `args.routing`'s."""

    def initialize_state(self, **settings: Any) -> None:
        """Called by Ray with request_router_kwargs."""
        self._settings = RoutingSettings(**settings)
        self._placement = Placement(self._settings, random.Random())
        self._table = PrefixTable(self._settings.max_remembered)

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Groups of replicas, tried one after the other; Ray takes a group's least busy one."""
        wanted = self.apply_locality_routing(pending_request=pending_request)
        by_name = {
            _name(each.replica_id): each for each in candidate_replicas if each.replica_id in wanted
        }
        hashes = self._hashes(pending_request)
        candidates = [self._candidate(name, each, hashes) for name, each in by_name.items()]
        return [[by_name[name] for name in group] for group in self._placement.ranks(candidates)]

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any
    ) -> None:
        """The replica will have computed the prompt."""
        if hashes := self._hashes(pending_request):
            self._table.insert(_name(replica_id), hashes)

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        """What it had computed is gone with it."""
        super().on_replica_actor_died(replica_id)
        self._table.forget(_name(replica_id))

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Replicas came or went."""
        super().update_replicas(replicas)
        self._table.keep_only({_name(each.replica_id) for each in replicas})

    def _hashes(self, request: PendingRequest | None) -> list[int]:
        """Of the request's prompt; none where it has none, as for statistics."""
        ask = request.args[0] if request is not None and request.args else None
        if not isinstance(ask, Ask):
            return []
        settings = self._settings
        text = ask.leading_text(settings.block_chars * settings.max_blocks)
        return block_hashes(text, settings.block_chars, settings.max_blocks)

    def _candidate(self, name: str, replica: RunningReplica, hashes: list[int]) -> Candidate:
        stats = replica.routing_stats
        return Candidate(
            replica=name,
            matched_blocks=self._table.matched(name, hashes),
            ongoing=self.replica_queue_len_cache.get(replica.replica_id) or 0,
            free_kv=free_kv_share(stats),
            waiting=stats.get("waiting", 0),
        )


def _name(replica: ReplicaID) -> str:
    return str(replica.unique_id)
