"""The application that `serve run` and `serve deploy` start: an ingress before engines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import RequestRouterConfig

from dms_ray.engine import Engine
from dms_ray.ingress import Ingress
from dms_ray.router import PrefixRouter
from dms_ray.settings import RoutingSettings, read_settings

# Seconds between two looks at what the replicas' memory is at.
STATS_PERIOD_S = 2.0


def build(args: dict[str, Any]) -> Application:
    """`args` are those of serve.yaml: `api_key_file`, the ingress's, and settings.py's. Numbers of
    replicas and what a replica needs of a node are said there too, under `deployments:`, by the
    names of the two classes."""
    return application(args)


def application(args: dict[str, Any], **engine_options: Any) -> Application:
    """The same for programs, which give the engines' deployment options here."""
    own = dict(args)
    key_file = own.pop("api_key_file", "")
    settings, routing = read_settings(own)
    engine = serve.deployment(
        name="Engine",
        request_router_config=_router(routing),
        # The engine orders what waits, by priority and memory; what is beyond waits in the router.
        max_ongoing_requests=2 * settings.max_num_seqs,
        max_queued_requests=4 * settings.max_num_seqs,
    )(Engine)
    ingress = serve.deployment(name="Ingress", max_ongoing_requests=4096)(Ingress)
    replicas = engine.options(**engine_options).bind(settings)
    return ingress.bind(replicas, routing, key_file)


def _router(routing: RoutingSettings) -> RequestRouterConfig:
    settings: dict[str, Any] = {
        "request_router_class": PrefixRouter,
        "request_router_kwargs": asdict(routing),
        "request_routing_stats_period_s": STATS_PERIOD_S,
    }
    return RequestRouterConfig(**settings)
