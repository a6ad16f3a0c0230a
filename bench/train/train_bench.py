"""Training steps of dms-train beside the same steps in Python (transformers, bf16 autocast, SDPA).

python bench/train/train_bench.py --text FOLDER [--lengths 1024,4096] [--rounds 3] [--steps 6]

Both train all weights of the model by AdamW on batches of 4096 tokens; engines take turns, each run
a process of its own. A figure is the median over all steps but each run's first two; memory is the
largest resident set of a round's process. `dms` is the distillation step (teacher, student, KL) of
an adapter beside the `lm` step. Writes Markdown to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
WARM_UP = 2
BATCH_TOKENS = 4096


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=CHECKOUT / "models" / "demo")
    parser.add_argument("--text", type=Path, help="folder of .txt files")
    parser.add_argument("--lengths", default="1024,4096")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    default = CHECKOUT / "build" / "release" / "src" / "train" / "dms-train"
    parser.add_argument("--program", type=Path, default=default)
    parser.add_argument("--peer", type=int, help=argparse.SUPPRESS)  # the Python side of one run
    return parser.parse_args()


def run_peer(args: argparse.Namespace) -> None:
    """The same step with transformers; prints seconds per step as JSON."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = AutoModelForCausalLM.from_pretrained(
        args.model, dtype=torch.float32, attn_implementation="sdpa"
    )
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), fused=True)
    rows = BATCH_TOKENS // args.peer
    seconds = []
    for step in range(args.steps):
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(8, model.config.vocab_size, (rows, args.peer), generator=generator)
        begin = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - begin)
    print(json.dumps(seconds))


def peak_mib(command: list[str], **options) -> tuple[str, float]:
    """Runs a command; its output, and the largest resident set in MiB."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:  # a child between, so that its children's peak is this command's alone
        os.close(read)
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        answer = json.dumps([done.returncode, done.stdout, done.stderr, peak])
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        code, output, errors, peak = json.loads(pipe.read())
    os.waitpid(pid, 0)
    if code != 0:
        sys.exit(f"{' '.join(command)}\n{errors}")
    return output, peak


def run_ours(args: argparse.Namespace, objective: str, length: int, folder: Path):
    """Seconds of the steps after warm-up, and peak memory, of one dms-train run."""
    out = Path(tempfile.mkdtemp(dir=folder))
    config = {
        "objective": objective,
        "model": {"name": str(args.model.resolve())},
        "data": {
            "blend": "text:1.0",
            "max_length": length,
            "concat_always_start_new": False,
            "cache_dir": str(folder / "data"),
            "datasets": {"text": {"path": str(args.text.resolve())}},
        },
        "hf_trainer": {
            "output_dir": str(out),
            "max_steps": args.steps,
            "per_device_train_batch_size": BATCH_TOKENS // length,
            "learning_rate": 1e-5,
            "save_steps": 10**6,
        },
    }
    if objective == "dms":
        config["dms"] = {"window_size": 128, "final_cr": 8.0}
    file = out / "config.json"  # JSON is YAML
    file.write_text(json.dumps(config))
    _, peak = peak_mib([str(args.program), "train", str(file)])
    steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [step["tokens"] / step["tok_s"] for step in steps[WARM_UP:]], peak


def run_python(args: argparse.Namespace, length: int):
    """The same of one transformers run."""
    command = [sys.executable, __file__, "--peer", str(length), "--steps", str(args.steps)]
    output, peak = peak_mib([*command, "--model", str(args.model)])
    return json.loads(output.splitlines()[-1])[WARM_UP:], peak


def main() -> None:
    args = arguments()
    if args.peer:
        return run_peer(args)
    if args.text is None:
        sys.exit("--text is missing: a folder of .txt files")
    print("| context | engine | s a step: median (min-max) | tok/s | peak MiB |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for length in map(int, args.lengths.split(",")):
            runs = {"dms-train lm": [], "transformers lm": [], "dms-train dms": []}
            for _ in range(args.rounds):
                runs["dms-train lm"].append(run_ours(args, "lm", length, folder))
                runs["transformers lm"].append(run_python(args, length))
                runs["dms-train dms"].append(run_ours(args, "dms", length, folder))
            for name, samples in runs.items():
                seconds = [s for run, _ in samples for s in run]
                median = statistics.median(seconds)
                peak = max(peak for _, peak in samples)
                print(
                    f"| {length} | {name} | {median:.2f} ({min(seconds):.2f}-{max(seconds):.2f}) "
                    f"| {BATCH_TOKENS / median:.0f} | {peak:.0f} |",
                    flush=True,
                )
    return None


if __name__ == "__main__":
    main()
