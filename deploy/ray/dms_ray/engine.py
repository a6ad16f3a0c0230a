"""A replica: one AsyncLLM, and its answers in OpenAI's forms."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import serve

from dms_cpp import (
    AsyncLLM,
    AsyncStream,
    CacheOptions,
    InputError,
    RunError,
    SamplingParams,
    StructuredOutputsParams,
)
from dms_ray.answers import Form
from dms_ray.asks import Ask
from dms_ray.errors import ApiError
from dms_ray.settings import EngineSettings

# What OpenAI's API says where a request for a text does not.
_DEFAULT_COMPLETION_TOKENS = 16


class Engine:
    """Holds the weights. Its functions are called through a deployment's handle."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._replica = serve.get_replica_context().replica_id.unique_id
        options = settings.engine_options()
        options["threads"] = settings.threads or _assigned_cpus()
        self._llm = AsyncLLM(settings.model, **options)
        template = settings.chat_template
        self._template = {"chat_template": Path(template).read_text()} if template else {}

    async def answer(self, ask: Ask) -> AsyncIterator[dict[str, Any]]:
        """What the ingress sends on, as objects with one key each: first `replica`, then `chunk`s
        of a stream or the `whole` answer, or an `error` with its `status`."""
        yield {"replica": self._replica}
        form = Form(ask, self._settings.name)
        try:
            stream = await self._submit(ask)
        except InputError as error:
            yield _refusal(ApiError(400, str(error), error.field or None))
            return
        except RunError as error:
            yield _refusal(ApiError(503, str(error)))
            return
        try:
            if ask.stream:
                for chunk in form.begin(ask.sampling.get("n", 1)):
                    yield {"chunk": chunk}
                async for piece in stream:
                    if (news := form.piece(piece)) is not None:
                        yield {"chunk": news}
                if ask.include_usage:
                    yield {"chunk": form.usage_chunk(await stream.result())}
            else:
                yield {"whole": form.whole(await stream.result())}
        except RunError as error:
            yield _refusal(ApiError(500, str(error)))
        finally:
            # Also where the client has gone: Ray cancels this then.
            stream.cancel()

    async def _submit(self, ask: Ask) -> AsyncStream:
        params = self._params(ask)
        options: dict[str, Any] = {
            "cache": self._cache(ask),
            "priority": ask.priority,
            "timeout": self._settings.request_timeout_s,
        }
        if ask.kind == "chat":
            template = {**self._template, **ask.template}
            return await self._llm.chat(ask.messages, params, **options, **template)
        assert ask.prompt is not None
        return await self._llm.submit(ask.prompt, params, **options)

    def _params(self, ask: Ask) -> SamplingParams:
        """What is left open is as the model recommends."""
        recommended = self._llm.llm.get_default_sampling_params()
        most = _DEFAULT_COMPLETION_TOKENS if ask.kind == "text" else None
        given = dict(ask.sampling)
        if form := given.get("structured_outputs"):
            given["structured_outputs"] = StructuredOutputsParams(**form)
        return replace(recommended, **{"max_tokens": most, **given})

    def _cache(self, ask: Ask) -> CacheOptions | None:
        """Arguments and window of another policy than the replica's are that one's own."""
        if not ask.cache:
            return None
        own = self._llm.llm.cache
        is_other = ask.cache.get("policy", own.policy) != own.policy
        base = CacheOptions(kv_cache_dtype=own.kv_cache_dtype) if is_other else own
        return replace(base, **ask.cache)

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

    def check_health(self) -> None:
        """Called by Ray from time to time: a replica that raises is replaced."""
        self._llm.check()


def _assigned_cpus() -> int:
    """Not all cores of the node: other replicas run there too."""
    context: Any = ray.get_runtime_context()
    return max(1, int(context.get_assigned_resources().get("CPU", 1)))


def _refusal(error: ApiError) -> dict[str, Any]:
    return {"error": error.body(), "status": error.status}
