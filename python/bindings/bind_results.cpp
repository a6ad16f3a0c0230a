// What comes of a request, and what it cost.

#include <string>

#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bind.h"
#include "dms/llm.h"
#include "pending.h"

namespace nb = nanobind;

namespace dms::python {
namespace {

void bind_kv_stats(nb::module_& module) {
  nb::class_<KvStats>(module,
                      "KvStats",
                      "Memory of a KV cache. Tokens are counted as entries, summed over layers and "
                      "KV heads; bytes are those of keys, values and every table.")
      .def_ro("dense_tokens", &KvStats::dense_tokens, "Entries of a full cache.")
      .def_ro("held_tokens", &KvStats::held_tokens, "Entries held: survivors and the window.")
      .def_ro("dense_bytes", &KvStats::dense_bytes, "Bytes of a full cache in the model's dtype.")
      .def_ro("allocated_bytes", &KvStats::allocated_bytes, "Bytes taken from the system.")
      .def_ro("peak_bytes", &KvStats::peak_bytes, "The most so far, of all open sequences.")
      .def_ro("cr", &KvStats::cr, "Compression by entries: dense_tokens / held_tokens.")
      .def_ro("cr_bytes", &KvStats::cr_bytes, "Compression by bytes.")
      .def_ro("held_per_head", &KvStats::held_per_head, "Entries held, [layers][kv_heads].")
      .def("__repr__", [](const KvStats& kv) {
        return fmt::format(
            "KvStats(held_tokens={}, dense_tokens={}, allocated_bytes={}, cr={:.2f})",
            kv.held_tokens,
            kv.dense_tokens,
            kv.allocated_bytes,
            kv.cr);
      });
}

void bind_engine_stats(nb::module_& module) {
  nb::class_<EngineStats>(module,
                          "EngineStats",
                          "What an engine is at, as of its last pass, and what it has done so far. "
                          "Bytes are those of KV pages.")
      .def_ro("running", &EngineStats::running, "Answers being computed.")
      .def_ro("waiting", &EngineStats::waiting, "Requests not begun, and preempted answers.")
      .def_ro("preempted", &EngineStats::preempted, "Of waiting.")
      .def_ro("swapped_bytes", &EngineStats::swapped_bytes, "Of caches written away.")
      .def_ro("kv_limit_bytes", &EngineStats::kv_limit_bytes, "0: no limit.")
      .def_ro("kv_used_bytes",
              &EngineStats::kv_used_bytes,
              "Of requests, sessions and cached prefixes.")
      .def_ro("kv_peak_bytes", &EngineStats::kv_peak_bytes, "The most so far.")
      .def_ro("kv_running_bytes",
              &EngineStats::kv_running_bytes,
              "Of running requests; pages that several share count for each.")
      .def_ro("dense_tokens",
              &EngineStats::dense_tokens,
              "Of running requests: entries of a full cache.")
      .def_ro("held_tokens", &EngineStats::held_tokens, "Of running requests: entries held.")
      .def_ro("cached_prefixes", &EngineStats::cached_prefixes)
      .def_ro("prompt_tokens",
              &EngineStats::prompt_tokens,
              "Since the beginning, of prompts whose computation ended.")
      .def_ro("cached_tokens",
              &EngineStats::cached_tokens,
              "Of prompt_tokens, taken from cached prefixes.")
      .def_ro("generated_tokens", &EngineStats::generated_tokens, "Since the beginning.")
      .def_ro("drafted_tokens", &EngineStats::drafted_tokens, "Guessed ahead of answers.")
      .def_ro("accepted_tokens", &EngineStats::accepted_tokens, "Of them, those that were right.")
      .def_ro("preemptions", &EngineStats::preemptions, "Since the beginning.")
      .def_ro("swaps", &EngineStats::swaps, "Preemptions that wrote the cache away.")
      .def_ro("dense_tokens_total",
              &EngineStats::dense_tokens_total,
              "Of answers that ended: entries of a full cache.")
      .def_ro("held_tokens_total",
              &EngineStats::held_tokens_total,
              "Of answers that ended: entries held.")
      .def_ro("finished", &EngineStats::finished, "Answers that ended, by reason.");
}

void bind_timings(nb::module_& module) {
  nb::class_<Timings>(module, "Timings", "Time spent in passes that had a part in it, in seconds.")
      .def_ro("prefill_s", &Timings::prefill_s, "Of passes that computed prompt tokens.")
      .def_ro("decode_s", &Timings::decode_s, "Of passes that computed generated tokens.")
      .def_ro("attention_s", &Timings::attention_s, "Part of both spent in attention.")
      .def_ro("prefill_tokens", &Timings::prefill_tokens, "Prompt tokens computed.")
      .def_ro("decode_tokens", &Timings::decode_tokens, "Generated tokens computed.")
      .def_prop_ro("prefill_tok_s", &Timings::prefill_tok_s, "Prompt tokens per second.")
      .def_prop_ro("decode_tok_s", &Timings::decode_tok_s, "Generated tokens per second.")
      .def("__repr__", [](const Timings& timings) {
        return fmt::format(
            "Timings(prefill_s={:.3f}, decode_s={:.3f})", timings.prefill_s, timings.decode_s);
      });
}

void bind_generation(nb::module_& module) {
  nb::class_<TokenProbability>(module, "TokenProbability")
      .def_ro("id", &TokenProbability::id)
      .def_ro("log_probability", &TokenProbability::log_probability);
  nb::class_<TokenChoice>(module, "TokenChoice")
      .def_ro("chosen", &TokenChoice::chosen)
      .def_ro("likeliest", &TokenChoice::likeliest);
  nb::class_<Generation>(module, "Generation")
      .def_ro("text", &Generation::text)
      .def_ro("ids", &Generation::ids)
      .def_ro("finish_reason", &Generation::finish_reason)
      .def_ro("error", &Generation::error)
      .def_ro("choices", &Generation::choices)
      .def_ro("prompt_choices", &Generation::prompt_choices)
      .def_ro("prompt_tokens", &Generation::prompt_tokens)
      .def_ro("cached_tokens", &Generation::cached_tokens)
      .def_ro("drafted_tokens", &Generation::drafted_tokens)
      .def_ro("accepted_tokens", &Generation::accepted_tokens)
      .def_ro("timings", &Generation::timings, nb::rv_policy::copy)
      .def_ro("kv", &Generation::kv, nb::rv_policy::copy);
  nb::class_<Piece>(module, "Piece")
      .def_ro("answer", &Piece::answer)
      .def_ro("ids", &Piece::ids)
      .def_ro("text", &Piece::text)
      .def_ro("choices", &Piece::choices)
      .def_ro("finish_reason", &Piece::finish_reason)
      .def_ro("error", &Piece::error);
}

}  // namespace

void bind_results(nb::module_& module) {
  bind_kv_stats(module);
  bind_engine_stats(module);
  bind_timings(module);
  bind_generation(module);
}

}  // namespace dms::python
