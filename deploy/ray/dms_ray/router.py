"""Ray Serve's request router that sends prompts with the same beginning to the same replica.

Ray's own (`ray.serve.llm`'s PrefixCacheAffinityRouter) can't be imported without vLLM or SGLang,
and knows nothing of KV bytes. Each handle has a router, and so a memory, of its own: with one
ingress replica all requests meet in one, with several a prefix may be computed once for each.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from ray.serve.request_router import (
    LocalityMixin,
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

from dms_ray.calls import Call
from dms_ray.placement import Candidate, Placement, free_kv_share, owner_of
from dms_ray.prefixes import PrefixTable
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
        call = _call(pending_request)
        if call.pin and candidate_replicas:
            names = {_name(each.replica_id): each for each in candidate_replicas}
            return [[names[owner_of(call.pin, names)]]]
        candidates = [self._candidate(name, each, call.hashes) for name, each in by_name.items()]
        return [[by_name[name] for name in group] for group in self._placement.ranks(candidates)]

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any
    ) -> None:
        """The replica will have computed the prompt."""
        if hashes := _call(pending_request).hashes:
            self._table.insert(_name(replica_id), hashes)

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        """What it had computed is gone with it."""
        super().on_replica_actor_died(replica_id)
        self._table.forget(_name(replica_id))

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Replicas came or went."""
        super().update_replicas(replicas)
        self._table.keep_only({_name(each.replica_id) for each in replicas})

    def _candidate(self, name: str, replica: RunningReplica, hashes: Sequence[int]) -> Candidate:
        stats = replica.routing_stats
        return Candidate(
            replica=name,
            matched_blocks=self._table.matched(name, hashes),
            ongoing=self.replica_queue_len_cache.get(replica.replica_id) or 0,
            free_kv=free_kv_share(stats),
            waiting=stats.get("waiting", 0),
        )


def _call(request: PendingRequest | None) -> Call:
    """What is asked for; nothing where it is for statistics."""
    first = request.args[0] if request is not None and request.args else None
    return first if isinstance(first, Call) else Call("", "")


def _name(replica: ReplicaID) -> str:
    return str(replica.unique_id)
