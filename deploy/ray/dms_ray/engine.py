"""A replica: one AsyncLLM, and the endpoints over it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import ray
from ray import serve

from dms_cpp import AsyncLLM, HttpApi, HttpReply, RunError
from dms_ray.calls import Call
from dms_ray.settings import EngineSettings


class Engine:
    """Holds the weights. Its functions are called through a deployment's handle."""

    def __init__(self, settings: EngineSettings) -> None:
        self._replica = serve.get_replica_context().replica_id.unique_id
        options = settings.engine_options()
        options["threads"] = settings.threads or _assigned_cpus()
        self._llm = AsyncLLM(settings.model, **options)
        self._api = HttpApi(self._llm, **settings.api_options())

    async def answer(self, call: Call) -> AsyncIterator[Any]:
        """What the ingress sends on: first this replica's name, then (status, headers), then the
        body's pieces."""
        yield self._replica
        reply = await self._handle(call)
        try:
            yield reply.status, reply.headers
            async for piece in reply:
                yield piece
        finally:
            # Also where the client has gone: Ray cancels this then.
            reply.cancel()

    async def whole(self, call: Call) -> tuple[str, int, bytes]:
        """This replica's name, status and body, for answers made of those of all."""
        reply = await self._handle(call)
        return self._replica, reply.status, await reply.body()

    async def _handle(self, call: Call) -> HttpReply:
        return await self._api.handle(call.method, call.target, call.headers, call.body)

    def stats(self) -> dict[str, Any]:
        """What the replica is at."""
        stats = self._llm.llm.stats()
        return {
            "replica": self._replica,
            "pid": os.getpid(),
            "kv_limit_bytes": stats.kv_limit_bytes,
            "kv_used_bytes": stats.kv_used_bytes,
            "kv_running_bytes": stats.kv_running_bytes,
            "running": stats.running,
            "waiting": stats.waiting,
            "prompt_tokens": stats.prompt_tokens,
            "cached_tokens": stats.cached_tokens,
            "generated_tokens": stats.generated_tokens,
        }

    def record_routing_stats(self) -> dict[str, Any]:
        """Called by Ray from time to time, for the routers (placement.Candidate). Only what they
        read: each change of it is told to all of them."""
        stats = self.stats()
        return {name: stats[name] for name in ("kv_limit_bytes", "kv_running_bytes", "waiting")}

    def context(self) -> int:
        """The most tokens of a conversation."""
        return self._llm.llm.info.context

    async def check_health(self) -> None:
        """Called by Ray from time to time: a replica that raises is replaced."""
        self._llm.check()
        live = await self._api.handle("GET", "/livez")
        if live.status != 200:
            raise RunError((await live.body()).decode())


def _assigned_cpus() -> int:
    """Not all cores of the node: other replicas run there too."""
    context: Any = ray.get_runtime_context()
    return max(1, int(context.get_assigned_resources().get("CPU", 1)))
