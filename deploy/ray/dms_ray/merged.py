"""Answers of all replicas to the same question as one answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dms_ray.placement import owner_of

# A line of Prometheus' text form: NAME VALUE, or NAME{LABELS} VALUE.
_SAMPLE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? ([^ ]+)$")


def merge(path: str, answers: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A body and its type, of the bodies by replica."""
    if path == "/metrics":
        texts = {replica: body.decode() for replica, body in answers.items()}
        return metrics(texts).encode(), "text/plain; version=0.0.4; charset=utf-8"
    values = {replica: json.loads(body) for replica, body in answers.items()}
    value = documents(values) if path == "/documents" else slots(values)
    return json.dumps(value, ensure_ascii=False).encode(), "application/json"


def metrics(texts: Mapping[str, str]) -> str:
    """Each sample with the label `replica`, under one head for each metric."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for replica in sorted(texts):
        name = ""
        for line in texts[replica].splitlines():
            if line.startswith("# "):
                name = line.split(" ", 3)[2]
                head = heads.setdefault(name, [])
                if line not in head:
                    head.append(line)
            elif found := _SAMPLE.match(line):
                sample, labels, value = found.groups()
                labels = f'replica="{replica}"' + (f",{labels}" if labels else "")
                samples.setdefault(name, []).append(f"{sample}{{{labels}}} {value}")
    lines = [line for name in samples for line in (*heads.get(name, ()), *samples[name])]
    return "\n".join([*lines, ""])


def documents(lists: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Those that requests reach, which go to a name's owner."""
    found = [
        entry
        for replica, listed in lists.items()
        for entry in listed["data"]
        if owner_of(f"/documents/{entry['name']}", lists) == replica
    ]
    return {"object": "list", "data": sorted(found, key=lambda entry: entry["name"])}


def slots(lists: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Each as its owner has it."""
    found = [
        slot
        for replica, listed in lists.items()
        for slot in listed
        if owner_of(f"/slots/{slot['id']}", lists) == replica
    ]
    return sorted(found, key=lambda slot: slot["id"])
