// What is asked for: options of models, caches and sampling, with libdms's own names and defaults.

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bind.h"
#include "dms/llm.h"
#include "path_caster.h"

namespace nb = nanobind;

namespace dms::python {
namespace {

void bind_model_options(nb::module_& module) {
  nb::class_<ModelOptions>(module, "ModelOptions")
      .def("__init__",
           [](ModelOptions* self) {
             // The user's own files, as for the commands.
             new (self) ModelOptions{.metadata_scope = MetadataScope::with_parent};
           })
      .def_rw("dtype", &ModelOptions::dtype)
      .def_rw("weights", &ModelOptions::weights)
      .def_rw("device", &ModelOptions::device)
      .def_rw("threads", &ModelOptions::threads)
      .def_rw("chunk_tokens", &ModelOptions::chunk_tokens)
      .def_rw("max_step_tokens", &ModelOptions::max_step_tokens)
      .def_rw("max_sequences", &ModelOptions::max_sequences)
      .def_rw("kv_memory_bytes", &ModelOptions::kv_memory_bytes)
      .def_rw("prefix_cache", &ModelOptions::prefix_cache)
      .def_rw("swap_bytes", &ModelOptions::swap_bytes)
      .def_rw("swap_folder", &ModelOptions::swap_folder)
      .def_rw("adapter", &ModelOptions::adapter)
      .def_rw("draft", &ModelOptions::draft);
}

void bind_cache_options(nb::module_& module) {
  nb::class_<CacheOptions>(module, "CacheOptions")
      .def(nb::init<>())
      .def_rw("policy", &CacheOptions::policy)
      .def_rw("policy_args", &CacheOptions::policy_args)
      .def_rw("decisions_file", &CacheOptions::decisions_file)
      .def_rw("window_tokens", &CacheOptions::window_tokens, nb::arg().none())
      .def_rw("kv_dtype", &CacheOptions::kv_dtype)
      .def_rw("kv_exact_layers", &CacheOptions::kv_exact_layers);
}

void bind_structure(nb::module_& module) {
  nb::enum_<Structure::Kind>(module, "StructureKind")
      .value("json_object", Structure::Kind::json_object)
      .value("json", Structure::Kind::json_schema)
      .value("regex", Structure::Kind::regex)
      .value("choice", Structure::Kind::choice)
      .value("grammar", Structure::Kind::grammar)
      .value("structural_tag", Structure::Kind::structural_tag);
  nb::class_<Structure>(module, "Structure")
      .def(nb::init<>())
      .def_rw("kind", &Structure::kind)
      .def_rw("text", &Structure::text)
      .def_rw("refuses_unenforced", &Structure::refuses_unenforced)
      .def_rw("any_whitespace", &Structure::any_whitespace)
      .def_rw("begins_after", &Structure::begins_after)
      .def_rw("field", &Structure::field);
  module.def("has_structures", &has_structures);
}

void bind_sampling(nb::module_& module) {
  nb::class_<SamplingParams>(module, "Sampling")
      .def(nb::init<>())
      .def_rw("max_new_tokens", &SamplingParams::max_new_tokens)
      .def_rw("temperature", &SamplingParams::temperature)
      .def_rw("top_k", &SamplingParams::top_k)
      .def_rw("top_p", &SamplingParams::top_p)
      .def_rw("min_p", &SamplingParams::min_p)
      .def_rw("repetition_penalty", &SamplingParams::repetition_penalty)
      .def_rw("presence_penalty", &SamplingParams::presence_penalty)
      .def_rw("frequency_penalty", &SamplingParams::frequency_penalty)
      .def_rw("seed", &SamplingParams::seed)
      .def_rw("logit_bias", &SamplingParams::logit_bias)
      .def_rw("stop", &SamplingParams::stop)
      .def_rw("stop_ids", &SamplingParams::stop_ids)
      .def_rw("ignore_eos", &SamplingParams::ignore_eos)
      .def_rw("speculate", &SamplingParams::speculate)
      .def_rw("log_probabilities", &SamplingParams::log_probabilities)
      .def_rw("prompt_log_probabilities", &SamplingParams::prompt_log_probabilities)
      .def_rw("structure", &SamplingParams::structure);
}

}  // namespace

void bind_options(nb::module_& module) {
  bind_model_options(module);
  bind_cache_options(module);
  bind_structure(module);
  bind_sampling(module);
}

}  // namespace dms::python
