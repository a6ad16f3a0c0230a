#pragma once
// TriAttention's statistics of a model's queries as an adapter's folder (adapter.h). They are those
// of one model's weights: of another with the same shape they say nothing.

#include <filesystem>
#include <optional>
#include <string>

#include "base/json.h"
#include "model/spec/model_spec.h"
#include "model/spec/weights.h"

namespace dms {

/// Tells trained models of one shape apart, however their matrices are stored: a sum over the norms
/// before attention and the last one, which every format keeps as they are.
std::string base_sum(const ModelSpec& spec, const WeightSource& base);

/// The triattention_* keys of an adapter's config; nothing where it has none. Throws InputError on
/// missing keys, and where the heads are others than those of `spec`.
std::optional<TriattentionSpec> triattention_from_config(const JsonFields& config,
                                                         const ModelSpec& spec);

/// Fills in the numbers of `spec`, which has `triattention`, from an open adapter. Throws
/// InputError where `base` is not the model that they are of, and on numbers that no queries have.
void read_query_statistics(const WeightSource& base, const WeightSource& adapter, ModelSpec& spec);

/// Throws InputError where `out` holds anything but such an adapter, or cannot be written.
void check_triattention_output(const std::filesystem::path& out);

/// Writes the folder of `spec`, which has `triattention` with its numbers, in one piece. Throws as
/// check_triattention_output(), and RunError when the disk is full.
void write_triattention_adapter(const std::filesystem::path& out, const ModelSpec& spec);

}  // namespace dms
