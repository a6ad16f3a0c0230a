"""llama.cpp, driven through the low-level API of llama-cpp-python.

A long context for decode is made by replicating the KV state of a short prefill: the sequence's
state is stored again as another sequence, shifted to the next positions, and joined to the first.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import llama_cpp as ll
import numpy as np
from common import Report, Shape, parser
from llamacpp_model import QUANTISED, model_file

SEED_CONTEXT = 512  # tokens really computed of a replicated context
MARGIN = 64  # cells beyond what is asked for
FLASH = {"auto": -1, "off": 0, "on": 1}
KV = {"f16": ll.GGML_TYPE_F16, "q8_0": ll.GGML_TYPE_Q8_0, "q4_0": ll.GGML_TYPE_Q4_0}
QUIET = ll.llama_log_callback(lambda level, text, data: None)


class Batch:
    """An owned llama_batch that is filled anew before each step."""

    def __init__(self, capacity: int) -> None:
        self.raw = ll.llama_batch_init(capacity, 0, 1)

    def fill(self, entries: list[tuple[int, int, int]], all_logits: bool) -> None:
        """Entries are (token, position, sequence); logits for all of them or for the last."""
        self.raw.n_tokens = len(entries)
        for index, (token, position, sequence) in enumerate(entries):
            self.raw.token[index] = token
            self.raw.pos[index] = position
            self.raw.n_seq_id[index] = 1
            self.raw.seq_id[index][0] = sequence
            self.raw.logits[index] = all_logits or index == len(entries) - 1


class Context:
    """A llama_context with its memory of `cells` tokens for each of `sequences`."""

    def __init__(self, model: Model, cells: int, sequences: int = 1, unified: bool = False) -> None:
        params = ll.llama_context_default_params()
        params.n_ctx = cells if unified else cells * sequences
        params.n_batch = max(cells, sequences)
        params.n_seq_max = sequences
        params.n_outputs_max = sequences  # else logits are kept for a whole batch
        params.kv_unified = unified
        params.n_threads = params.n_threads_batch = model.threads
        params.flash_attn_type = model.flash
        params.type_k = params.type_v = model.kv
        params.no_perf = True
        self.vocab = model.vocab
        self.raw = ll.llama_init_from_model(model.raw, params)
        if not self.raw:
            raise RuntimeError(f"llama_init_from_model: no context of {cells} x {sequences} cells")
        self.memory = ll.llama_get_memory(self.raw)
        self.batch = Batch(params.n_batch)

    def close(self) -> None:
        ll.llama_batch_free(self.batch.raw)
        ll.llama_free(self.raw)

    def step(self, entries: list[tuple[int, int, int]], all_logits: bool = False) -> None:
        """Runs the entries through the model and waits for the logits."""
        self.batch.fill(entries, all_logits)
        status = ll.llama_decode(self.raw, self.batch.raw)
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}")
        ll.llama_synchronize(self.raw)

    def argmax(self, index: int) -> int:
        """The likeliest token after the batch's entry `index`."""
        logits = ll.llama_get_logits_ith(self.raw, index)
        return int(np.ctypeslib.as_array(logits, (self.vocab,)).argmax())

    def prefill(self, tokens: list[int], sequence: int = 0) -> float:
        """Tokens per second of the prompt into the emptied sequence."""
        self.forget(sequence, 0)
        start = time.perf_counter()
        self.step([(token, position, sequence) for position, token in enumerate(tokens)])
        self.argmax(len(tokens) - 1)
        return len(tokens) / (time.perf_counter() - start)

    def decode(self, context: int, gen: int, sequences: int = 1) -> float:
        """Tokens per second of `gen` greedy steps after `context` tokens, which then remain."""
        tokens = [1 + sequence for sequence in range(sequences)]
        start = time.perf_counter()
        for step in range(gen):
            self.step(
                [(token, context + step, index) for index, token in enumerate(tokens)],
                all_logits=True,
            )
            tokens = [self.argmax(index) for index in range(sequences)]
        seconds = time.perf_counter() - start
        for sequence in range(sequences):
            self.forget(sequence, context)
        return gen * sequences / seconds

    def forget(self, sequence: int, first: int) -> None:
        """Drops the sequence's tokens from position `first` on."""
        if not ll.llama_memory_seq_rm(self.memory, sequence, first, -1):
            raise RuntimeError(f"llama_memory_seq_rm refused sequence {sequence} from {first} on")

    def state(self) -> ctypes.Array[ctypes.c_uint8]:
        """Sequence 0 as llama.cpp stores it."""
        size = ll.llama_state_seq_get_size(self.raw, 0)
        buffer = (ctypes.c_uint8 * size)()
        if ll.llama_state_seq_get_data(self.raw, buffer, size, 0) != size:
            raise RuntimeError("llama_state_seq_get_data gave another size than it promised")
        return buffer

    def append_copy(self, state: ctypes.Array[ctypes.c_uint8], length: int, first: int) -> None:
        """Joins a copy of the stored state, `length` tokens, to sequence 0 from `first` on."""
        if ll.llama_state_seq_set_data(self.raw, state, len(state), 1) == 0:
            raise RuntimeError(f"llama_state_seq_set_data found no room at token {first}")
        ll.llama_memory_seq_add(self.memory, 1, 0, length, first)
        ll.llama_memory_seq_cp(self.memory, 1, 0, -1, -1)
        self.forget(1, -1)

    def replicate_to(self, context: int, prompt: list[int]) -> None:
        """Gives sequence 0 `context` tokens by copies of the prompt's KV state."""
        self.prefill(prompt)
        state = self.state()
        for first in range(len(prompt), context, len(prompt)):
            self.append_copy(state, len(prompt), first)
        self.forget(0, context)
        held = ll.llama_memory_seq_pos_max(self.memory, 0) + 1
        if held != context:
            raise RuntimeError(f"the replicated context has {held} tokens, not {context}")


class Model:
    """The weights, and what every context over them is given."""

    def __init__(self, path: Path, threads: int, flash: str, kv: str, mapped: bool) -> None:
        params = ll.llama_model_default_params()
        params.n_gpu_layers = 0
        params.load_mode = ll.LLAMA_LOAD_MODE_MMAP if mapped else ll.LLAMA_LOAD_MODE_NONE
        self.raw = ll.llama_model_load_from_file(str(path).encode(), params)
        if not self.raw:
            raise RuntimeError(f"llama_model_load_from_file: {path} was refused")
        self.vocab = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(self.raw))
        self.threads = threads
        self.flash = FLASH[flash]
        self.kv = KV[kv]
        self.rng = np.random.default_rng(0)

    def prompt(self, length: int) -> list[int]:
        """Random ids that are no special tokens."""
        return self.rng.integers(259, self.vocab, length).tolist()


def measure_prefill(model: Model, report: Report, length: int, repeat: int) -> None:
    context = Context(model, length + MARGIN)
    tokens = model.prompt(length)
    report.measure("prefill_tok_s", repeat, lambda: context.prefill(tokens), prompt_tokens=length)
    context.close()


def measure_decode(model: Model, report: Report, length: int, gen: int, repeat: int) -> None:
    replicated = length > SEED_CONTEXT
    context = Context(model, length + gen + SEED_CONTEXT + MARGIN, sequences=2, unified=True)
    if replicated:
        context.replicate_to(length, model.prompt(SEED_CONTEXT))
    elif length > 0:
        context.prefill(model.prompt(length))
    report.measure(
        "decode_tok_s",
        repeat,
        lambda: context.decode(length, gen),
        context=length,
        gen_tokens=gen,
        concurrency=1,
        replicated_context=replicated,
    )
    context.close()


def measure_together(model: Model, report: Report, sequences: int, gen: int, repeat: int) -> None:
    context = Context(model, gen + MARGIN, sequences=sequences)
    report.measure(
        "decode_tok_s",
        repeat,
        lambda: context.decode(0, gen, sequences),
        context=0,
        gen_tokens=gen,
        concurrency=sequences,
    )
    context.close()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--weights", choices=["bf16", *QUANTISED], default="bf16")
    arguments.add_argument("--flash-attention", choices=FLASH, default="auto")
    arguments.add_argument("--kv", choices=KV, default="f16", help="type of the cache")
    arguments.add_argument("--no-mmap", action="store_true", help="read the weights into memory")
    arguments.add_argument("--verbose", action="store_true", help="let llama.cpp log")
    args = arguments.parse_args()
    if not args.verbose:
        ll.llama_log_set(QUIET, None)
    shape = Shape.read(args.shape)
    ll.llama_backend_init()
    path = model_file(shape, args.models, args.weights)
    model = Model(path, args.threads, args.flash_attention, args.kv, not args.no_mmap)
    settings = {
        "weights": args.weights,
        "kv": args.kv,
        "threads": args.threads,
        "flash_attention": args.flash_attention,
        "mmap": not args.no_mmap,
        "cpu": ll.llama_print_system_info().decode(),
    }
    report = Report(f"llama.cpp {args.weights}", f"llama-cpp-python {ll.__version__}", settings)
    for length in args.prompt_lens:
        measure_prefill(model, report, length, args.repeat)
    for length in args.decode_context:
        measure_decode(model, report, length, args.gen, args.repeat)
    for sequences in args.concurrency:
        measure_together(model, report, sequences, args.gen, args.repeat)
    ll.llama_model_free(model.raw)
    report.print()


if __name__ == "__main__":
    main()
