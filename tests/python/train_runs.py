"""Small training runs: a corpus, a tokenizer and a model to train, configurations, `dms-train`."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

import models
from harness import HANG_GUARD_S, binary, missing

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}
SPECIAL = ["<unk>", "<s>", "</s>"]
WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "moon",
    "river",
    "tree",
    "stone",
    "sings",
    "sleeps",
    "falls",
    "runs",
    "near",
    "under",
    "over",
    "and",
]
SHAPE = models.Shape("llama", layers=2, q_heads=4, kv_heads=2, head_dim=8, hidden=32, ffn=48)


def trainer_program() -> Path:
    """Built in the same tree as `dms`, unless DMS_TRAIN_BIN says where."""
    return Path(os.environ.get("DMS_TRAIN_BIN", binary().parents[1] / "train" / "dms-train"))


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(4, 9))).capitalize() + "."


def write_corpus(path: Path, rng: random.Random, documents: int = 60) -> Path:
    """JSON lines of some sentences each."""
    texts = [" ".join(sentence(rng) for _ in range(rng.randint(3, 30))) for _ in range(documents)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def train_tokenizer(corpus: Path) -> Tokenizer:
    """Byte-level BPE of a few hundred tokens; <s> is 1 and </s> is 2."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [json.loads(line)["text"] for line in corpus.read_text().splitlines()]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def build_base(folder: Path, tokenizer: Tokenizer, **changes) -> Path:
    """A random model in bf16, as published ones are, with the tokenizer."""
    fields = {**SHAPE.__dict__, "vocab": tokenizer.get_vocab_size(), "dtype": "bfloat16"}
    models.build(folder, models.Shape(**(fields | changes)), seed=4)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def load_tensors(*files: Path) -> dict:
    """The tensors of several safetensors files."""
    assert files, "no files of tensors"
    tensors: dict = {}
    for file in files:
        tensors |= load_file(file)
    return tensors


def read_metrics(folder: Path) -> list[dict]:
    """metrics.jsonl as far as it is written, without what a clock says."""
    file = folder / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    steps = []
    for line in lines:
        try:
            step = json.loads(line)
        except json.JSONDecodeError:
            break  # the line that is being written
        step.pop("tok_s")
        steps.append(step)
    return steps


class Workshop:
    """A base model with its data, and runs in folders of their own."""

    def __init__(self, folder: Path, seed: int):
        program = trainer_program()
        if not program.exists():
            missing(f"no program at {program}: the trainer is not built")
        self.program = program
        self.folder = folder
        self.corpus = write_corpus(folder / "corpus.jsonl", random.Random(seed))
        self.tokenizer = train_tokenizer(self.corpus)
        self.base = build_base(folder / "base", self.tokenizer)
        self.runs = 0

    def new_output(self) -> Path:
        self.runs += 1
        return self.folder / f"run-{self.runs}"

    def config(self, output: Path | None = None, **changes) -> Path:
        """Writes a configuration. changes: section_KEY=value, or a whole section."""
        output = output or self.new_output()
        config = {
            "objective": changes.pop("objective", "dms"),
            "model": {"name": str(self.base), "dtype": "float32"},
            "dms": {"window_size": 6, "final_cr": 3.0},
            "data": {
                "blend": "corpus:1.0",
                "max_length": 48,
                "cache_dir": str(self.folder / "cache"),
                "datasets": {"corpus": {"path": str(self.corpus)}},
            },
            "hf_trainer": {
                "output_dir": str(output),
                "max_steps": 12,
                "save_steps": 6,
                "per_device_train_batch_size": 2,
                "gradient_accumulation_steps": 2,
                "learning_rate": 3.0e-3,
                "bf16": False,
                "threads": 1,
            },
        }
        if config["objective"] == "lm":
            del config["dms"]
        for section in ("model", "dms", "data", "trainer"):
            name = "hf_trainer" if section == "trainer" else section
            config.get(name, {}).update(changes.pop(section, {}))
        assert not changes, f"unknown changes {changes}"
        path = output.with_suffix(".yaml")
        path.write_text(json.dumps(config, indent=1))
        return path

    def start(self, *args: object, prefix: tuple = (), **options) -> subprocess.Popen:
        """`prefix dms-train args…`, running."""
        return subprocess.Popen(
            [*map(str, prefix), str(self.program), *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **ENVIRONMENT},
            **options,
        )

    def run(self, *args: object, status: int = 0, **options) -> str:
        """The same, to its end, which must have this status; what it said on standard error."""
        process = self.start(*args, **options)
        try:
            _, text = process.communicate(timeout=HANG_GUARD_S)
        finally:
            process.kill()
        assert process.returncode == status, f"status {process.returncode}: {text}"
        return text

    def train(self, config: Path, *args: object, **options) -> str:
        return self.run("train", config, *args, **options)


def output_of(config: Path) -> Path:
    """A configuration's output folder."""
    return Path(json.loads(config.read_text())["hf_trainer"]["output_dir"])
