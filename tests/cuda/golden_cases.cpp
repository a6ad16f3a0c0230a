#include "cuda/golden_cases.h"

#include <bit>
#include <cmath>
#include <cstdio>

#include "base/json.h"
#include "base/output_file.h"
#include "cuda/device_buffer.h"

namespace dms::testing_support {
namespace {

bool close(const GoldenCase& one, uint32_t got, uint32_t card) {
  if (got == card) return true;
  if (one.match == GoldenMatch::bits) return false;
  const auto ours = static_cast<double>(std::bit_cast<float>(got));
  const auto theirs = static_cast<double>(std::bit_cast<float>(card));
  if (std::isnan(ours) || std::isnan(theirs)) return std::isnan(ours) && std::isnan(theirs);
  const double scale = one.match == GoldenMatch::relative ? std::abs(theirs) : 1.0;
  return std::abs(ours - theirs) <= one.tolerance * scale;
}

Json words(const std::map<std::string, std::vector<uint32_t>>& arrays) {
  Json object = Json::object();
  for (const auto& [name, values] : arrays) object[name] = values;
  return object;
}

std::map<std::string, std::vector<uint32_t>> arrays_of(const Json& object) {
  std::map<std::string, std::vector<uint32_t>> arrays;
  for (const auto& [name, values] : object.items()) {
    arrays[name] = values.get<std::vector<uint32_t>>();
  }
  return arrays;
}

}  // namespace

std::vector<GoldenCase> golden_cases() {
  std::vector<GoldenCase> cases;
  add_golden_cases_sm80(cases);
  add_golden_cases_sm90(cases);
  return cases;
}

std::string golden_problem(const GoldenCase& one) {
  return device_problem(one.capability, one.capability == 90 ? 100 : 1'000'000);
}

std::vector<uint32_t> run_golden(const GoldenCase& one) {
  const DeviceBuffer<uint32_t> in(one.input);
  DeviceBuffer<uint32_t> out(one.output_words);
  require_cuda(one.launch(in.get(), out.get(), nullptr));
  wait_for_device();
  return out.download();
}

std::string golden_difference(const GoldenCase& one,
                              const std::vector<uint32_t>& got,
                              const std::vector<uint32_t>& card) {
  if (got.size() != card.size()) {
    return std::to_string(got.size()) + " words instead of " + std::to_string(card.size());
  }
  size_t different = 0;
  std::string first;
  for (size_t i = 0; i < got.size(); ++i) {
    if (close(one, got[i], card[i])) continue;
    if (different++ == 0) {
      char text[128];
      std::snprintf(text,
                    sizeof text,
                    "word %zu: %08x (%g) instead of %08x (%g)",
                    i,
                    got[i],
                    static_cast<double>(std::bit_cast<float>(got[i])),
                    card[i],
                    static_cast<double>(std::bit_cast<float>(card[i])));
      first = text;
    }
  }
  return different == 0 ? "" : std::to_string(different) + " words differ; " + first;
}

void write_golden(const std::filesystem::path& file, const GoldenRecord& record) {
  const Json whole{{"device", record.device},
                   {"inputs", words(record.inputs)},
                   {"outputs", words(record.outputs)}};
  write_text_file(file, whole.dump());
}

GoldenRecord read_golden(const std::filesystem::path& file) {
  const Json whole = read_json_file(file);
  return {.device = whole.at("device").get<std::string>(),
          .inputs = arrays_of(whole.at("inputs")),
          .outputs = arrays_of(whole.at("outputs"))};
}

}  // namespace dms::testing_support
