"""Runs dms and the peers in turn, several rounds, and merges what they print.

The machine's speed drifts by more than the differences of interest, so engines are never measured
one after the other to the end: every round runs each group of measurements once on each engine.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environments import CHECKOUT, HERE, peers_folder, python_of

COMPACT = "random:cr=8"
LONG = 16384
HUGE = 32768
MANY = 8
PEER_TIMEOUT_S = 3600

# What each group measures, in the arguments of `dms bench` and of the peers.
DMS_GROUPS = {
    "decode": f"--prompt-lens 1 --concurrency 1,{MANY} --policy none",
    "prefill": "--prompt-lens 512,4096 --gen 0 --policy none",
    "long": f"--context {LONG} --prompt-lens 1 --policy none,{COMPACT} --window 256",
    "huge": f"--prompt-lens 2048,{HUGE} --gen 0 --policy none,{COMPACT} --window 256",
}
PEER_GROUPS = {
    "decode": f"--prompt-lens= --decode-context 0 --concurrency {MANY}",
    "prefill": "--prompt-lens 512,4096 --decode-context=",
    "long": f"--prompt-lens= --decode-context {LONG}",
}
OWN = {
    "dms": "",
    "dms int8": "--weights int8",
    "dms int4": "--weights int4",
    "dms kv int8": "--kv-dtype int8",
    "dms kv lloyd4": "--kv-dtype lloyd4",
}
PEERS = {
    "llama.cpp": ("llamacpp", ""),
    "llama.cpp q8_0": ("llamacpp", "--weights q8_0"),
    "llama.cpp q4_0": ("llamacpp", "--weights q4_0"),
    "llama.cpp kv q8_0": ("llamacpp", "--kv q8_0"),
    "llama.cpp kv q4_0": ("llamacpp", "--kv q4_0"),
    "transformers": ("transformers", ""),
    "OpenVINO int8": ("openvino", "--weights int8"),
    "OpenVINO int4": ("openvino", "--weights int4"),
    "OpenVINO bf16": ("openvino", "--weights bf16"),
    "OpenVINO kv u8": ("openvino", "--weights bf16 --kv u8"),
    "OpenVINO kv u4": ("openvino", "--weights bf16 --kv u4"),
}
# Who is compared when nobody is named: engines whose weights, or caches, have as many bits.
SETS = {
    "bf16": ["dms", "llama.cpp", "transformers", "OpenVINO int8", "OpenVINO bf16"],
    "quantised": [
        *("dms int8", "llama.cpp q8_0", "OpenVINO int8"),
        *("dms int4", "llama.cpp q4_0", "OpenVINO int4"),
    ],
    "cache": [
        *("dms kv int8", "llama.cpp kv q8_0", "OpenVINO kv u8"),
        *("dms kv lloyd4", "llama.cpp kv q4_0", "OpenVINO kv u4"),
    ],
}
# Survivors of the engines with quantised weights, where there is a context to speak of.
QUANTISED_KV = {"long": "--kv-dtype int8"}


def taken_once(engine: str, group: str) -> bool:
    """Minutes long and with little spread: taken in the first round only."""
    return group == "huge" or (group == "long" and engine.startswith("OpenVINO"))


@dataclass(frozen=True)
class Settings:
    """What the user chose."""

    shape: Path
    rounds: int
    repeat: int
    gen: int
    threads: int
    engines: list[str]
    groups: list[str]


@dataclass
class Results:
    """Every measurement by engine and case, a value a round, and what failed."""

    machine: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    rounds: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)

    def add(self, engine: str, case: str, measured: dict[str, float]) -> None:
        """Notes one round's median and extremes; a measurement without samples is left out."""
        if measured["n"] > 0:
            self.rounds.setdefault(engine, {}).setdefault(case, []).append(measured)

    def median(self, engine: str, case: str) -> float | None:
        """The median of the rounds' medians."""
        taken = self.rounds.get(engine, {}).get(case)
        return statistics.median(one["median"] for one in taken) if taken else None

    def extremes(self, engine: str, case: str) -> tuple[float, float]:
        """Least and greatest sample of all rounds."""
        taken = self.rounds[engine][case]
        return min(one["min"] for one in taken), max(one["max"] for one in taken)


def dms_binary() -> str:
    """The program to measure: $DMS_BIN, or the release build of this checkout."""
    return os.environ.get("DMS_BIN", str(CHECKOUT / "build/release/src/cli/dms"))


def command_of(engine: str, group: str, settings: Settings) -> list[str]:
    """The command line that measures the group on the engine."""
    if engine in OWN:
        command = [dms_binary(), "bench", "--config", str(settings.shape), "--random-weights"]
        command += shlex.split(f"{DMS_GROUPS[group]} {OWN[engine]}")
        if "--weights" in OWN[engine]:
            command += shlex.split(QUANTISED_KV.get(group, ""))
        if "--gen" not in command:
            command += ["--gen", str(settings.gen)]
    else:
        name, own = PEERS[engine]
        command = [str(python_of(name)), str(HERE / f"{name}_peer.py")]
        command += ["--shape", str(settings.shape), "--models", str(peers_folder() / "models")]
        command += [*shlex.split(PEER_GROUPS[group]), *shlex.split(own)]
        command += ["--gen", str(settings.gen)]
    repeat = 1 if taken_once(engine, group) else settings.repeat
    return [*command, "--threads", str(settings.threads), "--repeat", str(repeat), "--json"]


def last_line(text: str) -> str:
    """The last line that is not empty: where programs say what was wrong."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def run_one(engine: str, group: str, settings: Settings, results: Results) -> None:
    """Runs one command and files its measurements, or the failure of it."""
    shown = f"{engine}: {group}"
    try:
        command = command_of(engine, group, settings)
        shown = shlex.join(command)
        print(f"$ {shown}", file=sys.stderr, flush=True)
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=PEER_TIMEOUT_S
        )
        file_report(engine, json.loads(done.stdout), results)
    except subprocess.CalledProcessError as error:
        what = f"exit status {error.returncode}: {last_line(error.stderr or '')}"
        note_failure(engine, shown, what, results)
    except (subprocess.TimeoutExpired, OSError, json.JSONDecodeError, KeyError) as error:
        note_failure(engine, shown, f"{type(error).__name__}: {error}", results)


def note_failure(engine: str, command: str, what: str, results: Results) -> None:
    print(f"failed: {what}", file=sys.stderr, flush=True)
    results.failures.append({"engine": engine, "command": command, "error": what})


def file_report(engine: str, report: dict[str, Any], results: Results) -> None:
    """Files the JSON of `dms bench` or of a peer."""
    if engine in OWN:
        results.machine.append(report["machine"])
        for run in report["runs"]:
            file_dms_run(engine, run, results)
        return
    results.versions[engine] = report["version"]
    for failure in report["failures"]:
        note_failure(engine, failure["command"], f"{failure['what']}: {failure['error']}", results)
    for run in report["runs"]:
        if "prefill_tok_s" in run:
            results.add(engine, f"prefill {run['prompt_tokens']}", run["prefill_tok_s"])
        else:
            case = f"decode {run['context']} x {run['concurrency']}"
            results.add(engine, case, run["decode_tok_s"])


def file_dms_run(engine: str, run: dict[str, Any], results: Results) -> None:
    """Files one run; the policy's name is part of the case unless it is dense."""
    policy = "" if run["policy"] == "none" else f" {run['policy']}"
    if run["gen_tokens"] > 0:
        case = f"{run['context_tokens']} x {run['concurrency']}{policy}"
        results.add(engine, f"decode {case}", run["decode_tok_s"])
        ratio = run["kv"]["cr_bytes"]
        results.add(engine, f"kv {case}", {"median": ratio, "min": ratio, "max": ratio, "n": 1})
    else:
        case = f"{run['prompt_tokens']}{policy}"
        results.add(engine, f"prefill {case}", run["prefill_tok_s"])
        results.add(engine, f"attention {case}", run["attention_s"])


def run_rounds(settings: Settings, save: Callable[[Results], None]) -> Results:
    """All rounds: in each, every group on every engine in turn.

    `save` gets what there is after every command: rounds take hours, and an interrupted one is
    still worth what it measured.
    """
    results = Results()
    for number in range(settings.rounds):
        for group in settings.groups:
            for engine in settings.engines:
                groups = DMS_GROUPS if engine in OWN else PEER_GROUPS
                if group in groups and (number == 0 or not taken_once(engine, group)):
                    run_one(engine, group, settings, results)
                    save(results)
    return results
