#pragma once
// Options that are lists of names, which are read later, and lists whose values must differ.

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "dms/error.h"

namespace CLI {
class App;
}

namespace dms::cli {

/// Names with commas between them. An empty text, which would be taken for none given, is refused.
void add_list(CLI::App& app, const std::string& name, std::string& target, const std::string& help);

/// Throws InputError where a value stands in a list twice.
template <class T>
void refuse_twice(const std::string& where, std::vector<T> values) {
  std::ranges::sort(values);
  const auto twice = std::ranges::adjacent_find(values);
  if (twice == values.end()) return;
  throw InputError(
      {.where = where, .what = "stands there twice", .got = fmt::format("{}", *twice)});
}

}  // namespace dms::cli
