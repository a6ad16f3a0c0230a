#pragma once
// A model in a GGUF file: its metadata to a ModelSpec, its blocks to weights. Architectures llama
// (Mistral's models call themselves so too), qwen2 and qwen3.

#include <memory>
#include <vector>

#include "dms/model_info.h"
#include "gguf/file.h"
#include "model/spec/weights.h"

namespace dms {

/// The spec of a model without trained eviction, which the format has no place for. Throws
/// InputError naming file, key, got and expected.
ModelSpec load_gguf_spec(const gguf::File& file);

/// The file's tensors under the names that `spec` knows; rows of q and k in the order of Hugging
/// Face's checkpoints. Checks that each is there, with its shape and in a type that can be read.
std::unique_ptr<WeightSource> open_gguf_weights(std::shared_ptr<const gguf::File> file,
                                                const ModelSpec& spec);

/// All types of the file, those with most bytes first.
std::vector<StoredType> stored_types(const gguf::File& file);

}  // namespace dms
