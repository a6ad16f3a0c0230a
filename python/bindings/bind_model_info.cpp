// What a folder or a GGUF file says of its model.

#include <string>

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bind.h"
#include "dms/model_info.h"

namespace nb = nanobind;

namespace dms::python {

void bind_model_info(nb::module_& module) {
  nb::class_<DmsInfo>(module, "DmsInfo", "How a model's eviction was trained.")
      .def_ro("source", &DmsInfo::source, "'adapter' or 'neuron'.")
      .def_ro("window", &DmsInfo::window, "Tokens before the current one that are kept exactly.")
      .def_ro("target_cr", &DmsInfo::target_cr, "Compression it was trained for; 0: not stated.")
      .def_ro("disable_eviction", &DmsInfo::disable_eviction)
      .def_ro("origin", &DmsInfo::origin, "The file that says so.");
  nb::class_<KvzapInfo>(module, "KvzapInfo", "An adapter's scores, by which tokens go.")
      .def_ro("form", &KvzapInfo::form, "'linear' or 'mlp'.")
      .def_ro("threshold", &KvzapInfo::threshold, "A token whose score is below goes.")
      .def_ro("window", &KvzapInfo::window, "Tokens before the current one that are kept exactly.")
      .def_ro("sinks", &KvzapInfo::sinks, "First tokens, which stay.")
      .def_ro("target_cr", &KvzapInfo::target_cr, "Compression of its text; 0: not stated.")
      .def_ro("origin", &KvzapInfo::origin, "The file that says so.");
  nb::class_<StoredType>(module, "StoredType", "What the tensors of one type in a file amount to.")
      .def_ro("name", &StoredType::name, "'Q4_K'.")
      .def_ro("tensors", &StoredType::tensors)
      .def_ro("parameters", &StoredType::parameters)
      .def_ro("bytes", &StoredType::bytes);
  nb::class_<ModelInfo>(module, "ModelInfo", "A model's shape.")
      .def_ro("model_type", &ModelInfo::model_type)
      .def_ro("parameters", &ModelInfo::parameters)
      .def_ro("layers", &ModelInfo::layers)
      .def_ro("hidden", &ModelInfo::hidden)
      .def_ro("q_heads", &ModelInfo::q_heads)
      .def_ro("kv_heads", &ModelInfo::kv_heads)
      .def_ro("head_dim", &ModelInfo::head_dim)
      .def_ro("ffn", &ModelInfo::ffn)
      .def_ro("vocab", &ModelInfo::vocab, "Logits of one row.")
      .def_ro("context", &ModelInfo::context, "The longest sequence, in tokens.")
      .def_ro("kv_bytes_per_token", &ModelInfo::kv_bytes_per_token, "Of a full cache in bf16.")
      .def_ro("eos_ids", &ModelInfo::eos_ids)
      .def_ro("bos_id", &ModelInfo::bos_id)
      .def_ro("dms", &ModelInfo::dms, "None: eviction was not trained.")
      .def_ro("kvzap", &ModelInfo::kvzap, "None: no adapter of scores is applied.")
      .def_ro(
          "policy", &ModelInfo::policy, "What is evicted by unless cache options say otherwise.")
      .def_ro("notes", &ModelInfo::notes, "What is odd about the folder and was read all the same.")
      .def_ro(
          "sampling", &ModelInfo::sampling, "What the folder's generation_config.json recommends.")
      .def_ro("weights", &ModelInfo::weights, "Type of the layers in memory: 'bf16', 'int4', ...")
      .def_ro("stored",
              &ModelInfo::stored,
              "What a GGUF file holds, the types with most bytes first; empty for a folder.");
}

}  // namespace dms::python
