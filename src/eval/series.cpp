#include "eval/series.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

namespace dms::eval {
namespace {

using Texts = std::vector<std::string>;

/// Settings that say how many entries a policy holds.
constexpr std::array<std::string_view, 8> kEntries{"budget",
                                                   "compressed_budget",
                                                   "compression_ratio",
                                                   "cr",
                                                   "max_seq_length",
                                                   "recent_size",
                                                   "threshold",
                                                   "window"};
/// And in how many bits.
constexpr std::array<std::string_view, 2> kFormat{"kv_dtype", "kv_exact_layers"};

Texts split(const std::string& text, std::string_view separators) {
  Texts parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find_first_of(separators, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// A label's settings by what they are.
struct Parts {
  std::string kind{};  // the policy, and what settings are none of the others
  std::string adapter{};
  std::string entries{};
  std::string format{};
};

Parts parts_of(const std::string& label) {
  constexpr std::string_view kAdapter = "adapter=";
  Parts parts;
  for (const std::string& setting : split(label, ":")) {
    const std::string_view name = std::string_view(setting).substr(0, setting.find('='));
    if (setting.starts_with(kAdapter)) {
      parts.adapter = setting.substr(kAdapter.size());
      while (parts.adapter.ends_with('/')) parts.adapter.pop_back();
    } else if (std::ranges::find(kEntries, name) != kEntries.end()) {
      parts.entries += ":" + setting;
    } else if (std::ranges::find(kFormat, name) != kFormat.end()) {
      parts.format += ":" + setting;
    } else {
      parts.kind += (parts.kind.empty() ? "" : ":") + setting;
    }
  }
  return parts;
}

/// The ends of paths that tell them apart: "4x" and "8x" of "m/dms-4x" and "m/dms-8x". A separator
/// divides what is left out from what is said.
Texts short_names(const Texts& paths) {
  constexpr std::string_view kSeparators = "/-_";
  std::vector<Texts> pieces;
  for (const std::string& path : paths) {
    Texts of_path = split(path, kSeparators);
    while (of_path.size() > 1 && of_path.back().empty()) of_path.pop_back();
    pieces.push_back(std::move(of_path));
  }
  size_t same = 0;
  const auto is_shared = [&](const Texts& of_path) {
    return same + 1 < of_path.size() && of_path[same] == pieces.front()[same];
  };
  while (std::ranges::all_of(pieces, is_shared)) ++same;
  Texts names;
  for (size_t i = 0; i < paths.size(); ++i) {
    size_t begin = 0;
    for (size_t piece = 0; piece < same; ++piece) begin += pieces[i][piece].size() + 1;
    names.push_back(paths[i].substr(begin));
  }
  return std::set(names.begin(), names.end()).size() == names.size() ? names : paths;
}

/// The adapters of a kind, each once, in the order of their first labels.
Texts adapters_of(const std::vector<Parts>& labels, const std::string& kind) {
  Texts adapters;
  for (const Parts& parts : labels) {
    if (parts.kind == kind && std::ranges::find(adapters, parts.adapter) == adapters.end()) {
      adapters.push_back(parts.adapter);
    }
  }
  return adapters;
}

std::string series_name(const std::vector<Parts>& labels, const Parts& parts) {
  Texts adapters = adapters_of(labels, parts.kind);
  if (adapters.size() == 1 || parts.adapter.empty()) return parts.kind;
  std::erase(adapters, "");  // the model's own
  const auto place = std::ranges::find(adapters, parts.adapter) - adapters.begin();
  const Texts names =
      adapters.size() > 1 ? short_names(adapters) : Texts{split(parts.adapter, "/").back()};
  return parts.kind + " " + names[static_cast<size_t>(place)];
}

}  // namespace

std::vector<SeriesPlace> series_of(const std::vector<std::string>& labels) {
  std::vector<Parts> all;
  for (const std::string& label : labels) all.push_back(parts_of(label));
  std::vector<SeriesPlace> places;
  for (const Parts& parts : all) {
    places.push_back({.series = series_name(all, parts),
                      .lines = {"entries" + parts.format, "format" + parts.entries}});
  }
  return places;
}

}  // namespace dms::eval
