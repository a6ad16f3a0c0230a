#include "train/checkpoint/train_state.h"

#include "base/json.h"
#include "base/output_file.h"
#include "dms/error.h"

namespace dms::train {
namespace {

constexpr std::string_view kFormat = "dms-train-state";
constexpr int64_t kVersion = 1;
constexpr int64_t kMaxStateBytes = int64_t{16} << 20;
constexpr int64_t kMaxStep = int64_t{1} << 50;
constexpr int64_t kMaxSinks = int64_t{1} << 24;

uint64_t seed_of(const JsonFields& fields) {
  const Json* value = fields.find("seed");
  if (value != nullptr && value->is_number_unsigned()) return value->get<uint64_t>();
  throw InputError({.where = fields.where() + ": seed",
                    .what = value == nullptr ? "missing" : "bad value",
                    .expected = "an integer, 0 to 2^64 - 1"});
}

std::optional<int64_t> sinks_of(const JsonFields& fields) {
  if (fields.find("n_sink") == nullptr) return std::nullopt;
  return fields.integer("n_sink", 0, kMaxSinks);
}

}  // namespace

void write_train_state(const std::filesystem::path& file, const TrainState& state) {
  Json root{{"format", kFormat},
            {"version", kVersion},
            {"step", state.step},
            {"samples", state.samples},
            {"seed", state.seed},
            {"config", state.config}};
  if (state.sinks) root["n_sink"] = *state.sinks;
  try {
    write_text_file(file, root.dump(1) + "\n");
  } catch (const Json::type_error&) {
    throw InputError({.where = file.string() + ": config", .what = "is not UTF-8"});
  }
}

TrainState read_train_state(const std::filesystem::path& file) {
  const Json root = read_json_file(file, kMaxStateBytes);
  const JsonFields fields(root, file.string());
  const std::string format = fields.string("format");
  if (format != kFormat) {
    throw InputError({.where = file.string() + ": format",
                      .what = "is not a training state",
                      .got = format.substr(0, 60),
                      .expected = std::string(kFormat)});
  }
  fields.integer("version", kVersion, kVersion);
  return {.step = fields.integer("step", 0, kMaxStep),
          .samples = fields.integer("samples", 0, kMaxStep),
          .seed = seed_of(fields),
          .config = fields.string("config"),
          .sinks = sinks_of(fields)};
}

}  // namespace dms::train
