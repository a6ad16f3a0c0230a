#include "model/spec/generation_config.h"

#include <limits>

#include "base/file_status.h"
#include "base/json.h"
#include "dms/error.h"

namespace dms {
namespace {

constexpr int64_t kMaxBytes = int64_t{16} << 20;
constexpr double kMaxNumber = std::numeric_limits<double>::max();

double read_penalty(const JsonFields& file) {
  const double penalty = file.number_or("repetition_penalty", 1.0, 0.0, kMaxNumber);
  if (penalty > 0) return penalty;
  throw InputError({.where = file.where() + ": repetition_penalty",
                    .what = "bad value",
                    .got = "0",
                    .expected = "a number, more than 0"});
}

}  // namespace

GenerationConfig load_generation_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "generation_config.json";
  if (!path_exists(path)) return {};
  const Json root = read_json_file(path, kMaxBytes);
  const JsonFields file(root, path.string());
  const GenerationConfig silent;
  return {.do_sample = file.boolean_or("do_sample", silent.do_sample),
          .temperature = file.number_or("temperature", silent.temperature, 0.0, kMaxNumber),
          .top_k = file.integer_or("top_k", silent.top_k, 0, std::numeric_limits<int32_t>::max()),
          .top_p = file.number_or("top_p", silent.top_p, 0.0, 1.0),
          .min_p = file.number_or("min_p", silent.min_p, 0.0, 1.0),
          .repetition_penalty = read_penalty(file)};
}

}  // namespace dms
