"""Training steps of dms-train beside the same steps in Python (transformers, bf16 autocast, SDPA).

python bench/train/train_bench.py [--lengths 1024,4096] [--rounds 3] [--steps 6]
python bench/train/train_bench.py --shape configs/shapes/llama-3.2-1b.json --device cuda \\
    --lengths 8192 --batch-tokens 8192 --recompute

Both train all weights of the model by AdamW; engines take turns, each run a process of its own. A
figure is the median over all steps but each run's first two; memory is the largest resident set of
a round's process, on a GPU the most that was in use there. `dms` is the distillation step (teacher,
student, KL) of an adapter beside the `lm` step. The data are random tokens. Writes Markdown to
stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
WARM_UP = 2
ENGINES = ["dms-train lm", "transformers lm", "dms-train dms"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=CHECKOUT / "models" / "demo")
    parser.add_argument("--shape", type=Path, help="config.json: random weights instead of --model")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing")
    parser.add_argument("--offload", action="store_true", help="ours: optimiser in host memory")
    parser.add_argument("--engines", default=",".join(ENGINES), help="comma-separated")
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
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    config = AutoConfig.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_config(
        config, dtype=torch.float32, attn_implementation="sdpa"
    ).to(args.device)
    model.train()
    if args.recompute:
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), fused=True)
    rows = args.batch_tokens // args.peer
    seconds = []
    for step in range(args.steps):
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(8, model.config.vocab_size, (rows, args.peer), generator=generator)
        ids = ids.to(args.device)
        begin = time.perf_counter()
        with torch.autocast(args.device, dtype=torch.bfloat16):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
        optimizer.step()
        optimizer.zero_grad()
        if args.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    print(json.dumps(seconds))


class GpuMemory:
    """The most memory in use on the GPU while this is entered, in MiB."""

    def __enter__(self):
        self.peak = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _watch(self):
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        while not self._done.wait(0.1):
            output = subprocess.run(query, capture_output=True, text=True, check=True).stdout
            self.peak = max(self.peak, float(output.splitlines()[0]))


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


def measured(args: argparse.Namespace, command: list[str]) -> tuple[str, float]:
    """Runs a command; its output, and its peak memory in MiB on the device."""
    if args.device == "cpu":
        return peak_mib(command)
    with GpuMemory() as memory:
        output, _ = peak_mib(command)
    return output, memory.peak


def run_ours(args: argparse.Namespace, objective: str, length: int, folder: Path):
    """Seconds of the steps after warm-up, and peak memory, of one dms-train run."""
    out = Path(tempfile.mkdtemp(dir=folder))
    copies = {"kind": "copy", "documents": 64, "random_tokens": True, "max_tokens": length}
    config = {
        "objective": objective,
        "model": {"name": str(args.model.resolve())},
        "data": {
            "blend": "copies:1.0",
            "max_length": length,
            "concat_always_start_new": False,
            "cache_dir": str(folder / "data"),
            "datasets": {"copies": {"generator": copies}},
        },
        "hf_trainer": {
            "output_dir": str(out),
            "max_steps": args.steps,
            "per_device_train_batch_size": args.batch_tokens // length,
            "learning_rate": 1e-5,
            "save_strategy": "no",
            "device": args.device,
            "gradient_checkpointing": args.recompute,
            "offload_optimizer": args.offload,
        },
    }
    if objective == "dms":
        config["dms"] = {"window_size": 128, "final_cr": 8.0}
    file = out / "config.json"  # JSON is YAML
    file.write_text(json.dumps(config))
    _, peak = measured(args, [str(args.program), "train", str(file)])
    steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    shutil.rmtree(out)
    return [step["tokens"] / step["tok_s"] for step in steps[WARM_UP:]], peak


def run_python(args: argparse.Namespace, length: int):
    """The same of one transformers run."""
    command = [sys.executable, __file__, "--peer", str(length), "--steps", str(args.steps)]
    command += ["--model", str(args.model), "--device", args.device]
    command += ["--batch-tokens", str(args.batch_tokens), *["--recompute"] * args.recompute]
    output, peak = measured(args, command)
    return json.loads(output.splitlines()[-1])[WARM_UP:], peak


def of_shape(shape: Path, folder: Path) -> Path:
    """A model folder of random bf16 weights with the demo's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    model = folder / shape.stem
    model.mkdir()
    shutil.copy(shape, model / "config.json")
    config = AutoConfig.from_pretrained(model)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(model)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(CHECKOUT / "models" / "demo" / name, model)
    return model


def main() -> None:
    args = arguments()
    if args.peer:
        return run_peer(args)
    print("| context | engine | s a step: median (min-max) | tok/s | peak MiB |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if args.shape is not None:
            args.model = of_shape(args.shape, folder)
        for length in map(int, args.lengths.split(",")):
            runs = {name: [] for name in args.engines.split(",")}
            for _ in range(args.rounds):
                for name, samples in runs.items():
                    engine, objective = name.split(" ")
                    samples.append(
                        run_ours(args, objective, length, folder)
                        if engine == "dms-train"
                        else run_python(args, length)
                    )
            for name, samples in runs.items():
                seconds = [s for run, _ in samples for s in run]
                median = statistics.median(seconds)
                peak = max(peak for _, peak in samples)
                print(
                    f"| {length} | {name} | {median:.2f} ({min(seconds):.2f}-{max(seconds):.2f}) "
                    f"| {args.batch_tokens / median:.0f} | {peak:.0f} |",
                    flush=True,
                )
    return None


if __name__ == "__main__":
    main()
