"""What `args:` in serve.yaml may say."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

# HttpApi's own.
_API = (
    "tool_parser",
    "speculate",
    "strip_agent_headers",
    "max_queue",
    "documents",
    "slots",
    "slot_save_path",
)


@dataclass(frozen=True)
class EngineSettings:
    """One replica's model, engine and endpoints: options of AsyncLLM and of HttpApi."""

    model: str
    """The folder or GGUF file, at the same place on every node."""
    served_model_name: str = ""
    """What requests call it; empty: the folder's name."""
    chat_template: str = ""
    """A file with a Jinja template, for a model that has none; or "plain"."""
    request_timeout_s: int = 0
    """Seconds after which an answer ends with what it has; 0: none."""
    tool_parser: str = ""
    speculate: int = 0
    strip_agent_headers: bool = False
    max_queue: int = 256
    documents: str | None = None
    """A folder that all nodes have in common; None: documents end with their replica."""
    slots: int = 8
    slot_save_path: str | None = None
    """A folder that all nodes have in common; None: slots are not saved."""
    kv_memory: int | str = "1GiB"
    """Of each replica; prefixes are kept in what requests leave of it."""
    swap_space: int | str = 0
    swap_folder: str | None = None
    threads: int | None = None
    """None: the CPUs that Ray gave the replica (`num_cpus`), at least one."""
    dtype: str = "auto"
    weights: str = "auto"
    kv_cache_dtype: str = "auto"
    policy: str | None = None
    policy_args: Mapping[str, Any] = field(default_factory=dict)
    window: int | None = None
    adapter: str | None = None
    draft: str | None = None
    max_num_seqs: int = 64
    max_num_batched_tokens: int = 512

    @property
    def name(self) -> str:
        return self.served_model_name or Path(self.model).name

    def engine_options(self) -> dict[str, Any]:
        """Keyword arguments of AsyncLLM."""
        own = (*_API, "model", "served_model_name", "chat_template", "request_timeout_s")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in own}

    def api_options(self) -> dict[str, Any]:
        """Keyword arguments of HttpApi."""
        template = self.chat_template
        if template and template != "plain":
            template = Path(template).read_text()
        return {
            **{name: getattr(self, name) for name in _API},
            "served_model_name": self.name,
            "chat_template": template or None,
            "shared_documents": True,
            "request_timeout": self.request_timeout_s,
        }


@dataclass(frozen=True)
class RoutingSettings:
    """How a replica is chosen; see placement.Placement."""

    block_chars: int = 256
    """Beginnings of prompts are compared in blocks of so many characters: about 64 tokens."""
    max_blocks: int = 256
    """So many of a prompt are looked at: what comes later tells no more."""
    max_remembered: int = 16384
    """Blocks that are remembered for each replica, about 100 bytes each."""
    max_imbalance: int = 8
    """Requests that a replica with the prefix may have more than the least busy one."""
    min_free_kv: float = 0.1
    """Share of its KV memory below which a replica gets nothing while others have more."""
    max_waiting: int = 4
    """Requests that a replica's engine may keep waiting before others are preferred."""

    def __post_init__(self) -> None:
        for name in ("block_chars", "max_blocks", "max_remembered"):
            if getattr(self, name) < 1:
                raise ValueError(f"routing.{name}: {getattr(self, name)}, expected at least 1")
        if not 0 <= self.min_free_kv <= 1:
            raise ValueError(f"routing.min_free_kv: {self.min_free_kv}, expected 0 to 1")


def read_settings(args: Mapping[str, Any]) -> tuple[EngineSettings, RoutingSettings]:
    """`args` as settings; raises ValueError where a name is not known."""
    routing = args.get("routing", {})
    engine = {name: value for name, value in args.items() if name != "routing"}
    _check_names(engine, EngineSettings, "args")
    _check_names(routing, RoutingSettings, "args.routing")
    if not engine.get("model"):
        raise ValueError("args.model: missing, expected a model's folder")
    return EngineSettings(**engine), RoutingSettings(**routing)


def _check_names(given: Mapping[str, Any], kind: type, where: str) -> None:
    known = [f.name for f in fields(kind)]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{where}.{name}: unknown setting{hint}")
