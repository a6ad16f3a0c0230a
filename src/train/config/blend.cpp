#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/suggest.h"
#include "train/config/sections.h"

namespace dms::train::config {
namespace {

constexpr const char* kForm = "NAME:WEIGHT,NAME:WEIGHT,… with weights above 0";

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

std::optional<double> parse_weight(std::string_view text) {
  double weight = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, weight);
  const bool is_weight = error == std::errc{} && stop == end && std::isfinite(weight) && weight > 0;
  return is_weight ? std::optional(weight) : std::nullopt;
}

/// How to declare `name`, or which declared name was meant.
std::string declaration_hint(const std::string& name,
                             const std::map<std::string, DatasetSection>& datasets) {
  if (name == "OpenR1Math220k") {
    return "name its file: --set data.datasets.OpenR1Math220k.path=FILE.jsonl";
  }
  std::vector<std::string> names;
  for (const auto& [declared, dataset] : datasets) names.push_back(declared);
  const std::string nearest = nearest_name(name, names);
  if (!nearest.empty()) return "did you mean '" + nearest + "'?";
  return "declare it: data: {datasets: {" + name + ": {path: FILE.jsonl, text: FIELD}}}";
}

}  // namespace

std::vector<BlendPart> read_blend(yaml::Fields& data,
                                  const std::map<std::string, DatasetSection>& datasets) {
  std::string text;
  data.text("blend", text);
  if (text.empty()) data.refuse("blend", "missing", kForm);
  std::vector<BlendPart> blend;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = trim(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    const size_t colon = part.find(':');
    const std::string name(trim(part.substr(0, colon)));
    const std::optional<double> weight =
        colon == std::string_view::npos ? 1.0 : parse_weight(trim(part.substr(colon + 1)));
    if (name.empty() || !weight) data.refuse("blend", "bad value", kForm);
    if (!datasets.contains(name)) {
      data.refuse("blend",
                  "dataset '" + name + "' is not declared under data.datasets",
                  "",
                  declaration_hint(name, datasets));
    }
    if (std::ranges::find(blend, name, &BlendPart::dataset) != blend.end()) {
      data.refuse("blend", "dataset '" + name + "' stands there twice", kForm);
    }
    blend.push_back({.dataset = name, .weight = *weight});
  }
  return blend;
}

}  // namespace dms::train::config
