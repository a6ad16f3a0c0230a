#include "train/data/command.h"

#include <array>
#include <span>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "train/data/model_text.h"

namespace dms::train {
namespace {

using OutputJson = nlohmann::ordered_json;

constexpr const char* kMaskBegin = "⟦";
constexpr const char* kMaskEnd = "⟧";

/// A stretch of a sample whose tokens all count, or none.
struct Part {
  std::string text;
  bool counts = false;
};

std::vector<Part> parts_of(const Sample& sample, const text::Tokenizer& tokenizer) {
  std::vector<Part> parts;
  const std::span<const int32_t> ids(sample.ids);
  for (size_t begin = 0, end = 0; begin < ids.size(); begin = end) {
    while (end < ids.size() && sample.loss[end] == sample.loss[begin]) ++end;
    parts.push_back({.text = tokenizer.decode(ids.subspan(begin, end - begin), false),
                     .counts = sample.loss[begin] != 0});
  }
  return parts;
}

int64_t targets_of(const Sample& sample) {
  int64_t targets = 0;
  for (const uint8_t counts : sample.loss) targets += counts;
  return targets;
}

std::string bytes_text(int64_t bytes) {
  constexpr std::array<const char*, 4> kUnits{"KiB", "MiB", "GiB", "TiB"};
  double size = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; size >= 1024 && unit + 1 < kUnits.size(); ++unit) size /= 1024;
  return fmt::format("{:.1f} {}", size, kUnits[unit]);
}

/// Begin and end of a long text, cut between characters.
std::string shorten(std::string_view text) {
  constexpr size_t kHead = 400;
  constexpr size_t kTail = 200;
  const auto inside = [&](size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
  };
  if (text.size() <= 2 * (kHead + kTail)) return std::string(text);
  size_t head = kHead;
  while (inside(head)) --head;
  size_t tail = text.size() - kTail;
  while (inside(tail)) ++tail;
  return fmt::format(
      "{} … ({} more bytes) … {}", text.substr(0, head), tail - head, text.substr(tail));
}

OutputJson report_json(const DatasetReport& report) {
  OutputJson folders = OutputJson::array();
  for (const auto& folder : report.cache) folders.push_back(folder.string());
  return {{"name", report.name},
          {"weight", report.weight},
          {"blend_samples", report.blend_samples},
          {"records", report.records},
          {"documents", report.documents},
          {"dropped", OutputJson(report.dropped)},
          {"tokens", report.tokens},
          {"loss_tokens", report.loss_tokens},
          {"samples", report.samples},
          {"tokens_cut", report.tokens_cut},
          {"tokens_left", report.tokens_left},
          {"cache", folders},
          {"cache_bytes", report.cache_bytes}};
}

/// Samples that one process takes in the whole run.
int64_t run_samples(const TrainConfig& config) {
  const TrainerSection& trainer = config.trainer;
  return trainer.max_steps * trainer.batch_size * trainer.accumulation_steps;
}

std::string report_text(const TrainConfig& config, const DatasetReport& report) {
  std::string dropped;
  for (const auto& [reason, count] : report.dropped) {
    dropped += fmt::format("{}{} {}", dropped.empty() ? "" : ", ", reason, count);
  }
  std::string folders;
  for (const auto& folder : report.cache) folders += "\n             " + folder.string();
  const double taken = report.weight * static_cast<double>(run_samples(config));
  return fmt::format(
      "{}\n"
      "  documents  {} of {} records, dropped: {}\n"
      "  tokens     {}, of which {} are targets\n"
      "  samples    {} of {} tokens; {} tokens cut off at the ends of contexts, {} left over\n"
      "  blend      weight {:.3f}: the run takes about {:.0f} samples, {:.2f} times the dataset\n"
      "  cache      {}{}\n",
      report.name,
      report.documents,
      report.records,
      dropped.empty() ? "none" : dropped,
      report.tokens,
      report.loss_tokens,
      report.samples,
      config.data.max_length,
      report.tokens_cut,
      report.tokens_left,
      report.weight,
      taken,
      taken / static_cast<double>(report.samples),
      bytes_text(report.cache_bytes),
      folders);
}

OutputJson summary_json(const TrainConfig& config, const PreparedData& data) {
  OutputJson datasets = OutputJson::array();
  for (const DatasetReport& report : data.report()) datasets.push_back(report_json(report));
  return {{"run_samples", run_samples(config)},
          {"blend_samples", data.size()},
          {"max_length", config.data.max_length},
          {"datasets", datasets},
          {"notes", data.notes()}};
}

std::string summary_text(const TrainConfig& config, const PreparedData& data) {
  std::string text;
  for (const DatasetReport& report : data.report()) text += report_text(config, report);
  text += fmt::format("the run: {} steps, {} samples a process; the blend repeats after {}\n",
                      config.trainer.max_steps,
                      run_samples(config),
                      data.size());
  for (const std::string& note : data.notes()) text += "note: " + note + "\n";
  return text;
}

OutputJson sample_json(int64_t index, const Sample& sample, const text::Tokenizer& tokenizer) {
  OutputJson parts = OutputJson::array();
  for (const Part& part : parts_of(sample, tokenizer)) {
    parts.push_back({{"text", part.text}, {"target", part.counts}});
  }
  return {{"index", index},
          {"tokens", sample.ids.size()},
          {"loss_tokens", targets_of(sample)},
          {"parts", parts}};
}

std::string sample_text(int64_t index, const Sample& sample, const text::Tokenizer& tokenizer) {
  std::string text = fmt::format(
      "\n--- sample {}: {} tokens, {} targets\n", index, sample.ids.size(), targets_of(sample));
  for (const Part& part : parts_of(sample, tokenizer)) {
    const std::string shown = shorten(part.text);
    text += part.counts ? shown : kMaskBegin + shown + kMaskEnd;
  }
  return text + "\n";
}

std::string one_line(const OutputJson& json) {
  return json.dump(-1, ' ', false, OutputJson::error_handler_t::replace) + "\n";
}

}  // namespace

std::string run_prepare(const TrainConfig& config, bool json, const DataProgress& progress) {
  const std::unique_ptr<PreparedData> data = prepare_data(config, progress);
  return json ? one_line(summary_json(config, *data)) : summary_text(config, *data);
}

std::string run_inspect(const TrainConfig& config,
                        int64_t samples,
                        bool json,
                        const DataProgress& progress) {
  const std::unique_ptr<PreparedData> data = prepare_data(config, progress);
  const text::Tokenizer tokenizer = data::load_model_text(config.model.name).tokenizer;
  if (json) {
    OutputJson all = summary_json(config, *data);
    all["shown"] = OutputJson::array();
    for (int64_t i = 0; i < samples; ++i) {
      all["shown"].push_back(sample_json(i, data->sample(i), tokenizer));
    }
    return one_line(all);
  }
  std::string text = summary_text(config, *data);
  if (samples > 0) text += fmt::format("{}…{}: tokens that are no targets\n", kMaskBegin, kMaskEnd);
  for (int64_t i = 0; i < samples; ++i) text += sample_text(i, data->sample(i), tokenizer);
  return text;
}

}  // namespace dms::train
