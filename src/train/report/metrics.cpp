#include "train/report/metrics.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

#include "base/file_status.h"
#include "base/input_file.h"
#include "base/json.h"
#include "dms/error.h"

namespace dms::train {
namespace {

constexpr size_t kMaxLineBytes = 4096;
constexpr int64_t kMaxLogBytes = int64_t{4} << 30;

using Row = nlohmann::ordered_json;

void put(Row& row, const char* key, const std::optional<double>& value) {
  if (value) row[key] = *value;  // not finite: written as null
}

double number_of(const Json& row, const char* key) {
  const auto found = row.find(key);
  return found == row.end() || !found->is_number() ? std::numeric_limits<double>::quiet_NaN()
                                                   : found->get<double>();
}

std::optional<double> optional_of(const Json& row, const char* key) {
  return row.contains(key) ? std::optional(number_of(row, key)) : std::nullopt;
}

/// Nothing where `line` is no step's object.
std::optional<StepMetrics> parse_line(std::string_view line) {
  if (line.size() > kMaxLineBytes) return std::nullopt;
  const Json row = Json::parse(line, nullptr, false);
  if (!row.is_object()) return std::nullopt;
  const auto integer = [&row](const char* key) -> int64_t {
    const auto found = row.find(key);
    return found != row.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
  };
  StepMetrics metrics{.step = integer("step"),
                      .loss = number_of(row, "loss"),
                      .kl = optional_of(row, "kl"),
                      .lm_loss = number_of(row, "lm_loss"),
                      .target_fraction = optional_of(row, "target_fraction"),
                      .fraction_closed = optional_of(row, "fraction_closed"),
                      .cr = optional_of(row, "cr"),
                      .target_cr = optional_of(row, "target_cr"),
                      .lr = number_of(row, "lr"),
                      .grad_norm = number_of(row, "grad_norm"),
                      .tok_s = number_of(row, "tok_s"),
                      .tokens = integer("tokens")};
  return metrics.step > 0 ? std::optional(metrics) : std::nullopt;
}

/// Calls `take(metrics)` for each line until it returns false or a line is no step's. Returns the
/// offset behind the last line taken.
template <class Take>
size_t walk_lines(const std::filesystem::path& path, Take take) {
  const std::string text = read_text_file(path, kMaxLogBytes);
  size_t begin = 0;
  for (;;) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) return begin;
    const std::optional<StepMetrics> metrics =
        parse_line(std::string_view(text).substr(begin, end - begin));
    if (!metrics || !take(*metrics)) return begin;
    begin = end + 1;
  }
}

void keep_until(const std::filesystem::path& path, int64_t last_step) {
  if (!path_exists(path)) return;
  const size_t kept = walk_lines(
      path, [last_step](const StepMetrics& metrics) { return metrics.step <= last_step; });
  std::error_code error;
  std::filesystem::resize_file(path, kept, error);
  if (error) {
    throw InputError({.where = path.string(), .what = "cannot be cut: " + error.message()});
  }
}

}  // namespace

std::string metrics_line(const StepMetrics& metrics) {
  Row row;
  row["step"] = metrics.step;
  row["loss"] = metrics.loss;
  put(row, "kl", metrics.kl);
  row["lm_loss"] = metrics.lm_loss;
  put(row, "target_fraction", metrics.target_fraction);
  put(row, "fraction_closed", metrics.fraction_closed);
  put(row, "cr", metrics.cr);
  put(row, "target_cr", metrics.target_cr);
  row["lr"] = metrics.lr;
  row["grad_norm"] = metrics.grad_norm;
  row["tok_s"] = metrics.tok_s;
  row["tokens"] = metrics.tokens;
  return row.dump();
}

std::vector<StepMetrics> read_metrics(const std::filesystem::path& file) {
  std::vector<StepMetrics> steps;
  if (!path_exists(file)) return steps;
  walk_lines(file, [&steps](const StepMetrics& metrics) {
    steps.push_back(metrics);
    return true;
  });
  return steps;
}

MetricsLog::MetricsLog(const std::filesystem::path& file, int64_t resumed_step) : path_(file) {
  keep_until(file, resumed_step);
  file_.reset(std::fopen(file.c_str(), "ab"));
  if (!file_) {
    throw InputError(
        {.where = file.string(), .what = std::string("cannot be opened: ") + std::strerror(errno)});
  }
}

void MetricsLog::write(const StepMetrics& metrics) {
  const std::string line = metrics_line(metrics) + "\n";
  const bool is_written = std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size() &&
                          std::fflush(file_.get()) == 0;
  if (is_written) return;
  throw RunError(
      {.where = path_.string(), .what = std::string("cannot be written: ") + std::strerror(errno)});
}

}  // namespace dms::train
