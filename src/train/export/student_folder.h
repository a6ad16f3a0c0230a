#pragma once
// A student as a Hugging Face folder that the engine runs and NVIDIA's code reads.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "model/spec/model_spec.h"
#include "model/spec/weights.h"

namespace dms::train {

struct StudentOptions {
  std::optional<DmsSpec> dms{};  // none: the base's own, if it has any
  bool plain = false;            // without trained eviction, also where the base has one
  bool replaces_plain = false;   // `out` may be a model without trained eviction: it was ours
  double tau = 0.1;              // the last temperature of training
  DType dtype = DType::bf16;
  int64_t max_shard_bytes = 5'000'000'000;
};

/// Refuses an output folder that an export must not replace: the base itself, or a folder that
/// holds anything but a student. To be called before work is spent. Throws InputError.
void check_student_output(const std::filesystem::path& base_folder,
                          const std::filesystem::path& out,
                          bool replaces_plain = false);

/// Writes `out` in one piece: weights named and shaped by weight_names() of the base with
/// `options.dms`, their numbers from `source`; the base's config.json with the settings, or
/// dms_metadata.json for FastDMS's form; the base's tokenizer and templates. The base needs no
/// weights. Returns notes for the user. Throws InputError for a bad base or output folder, RunError
/// when the disk is full; nothing is left of it then.
std::vector<std::string> write_student_folder(const std::filesystem::path& base_folder,
                                              const std::filesystem::path& out,
                                              const StudentOptions& options,
                                              const WeightSource& source);

}  // namespace dms::train
