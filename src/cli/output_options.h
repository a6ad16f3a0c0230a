#pragma once
// Options that name what a command writes.

#include <filesystem>
#include <string>
#include <vector>

namespace dms::cli {

struct OutputOption {
  std::string name;
  std::filesystem::path file;  // empty: not given
};

/// Before the work: throws InputError where two of them are one file, under whatever names; the one
/// that is written last would be all that is left. A pipe or a device takes both.
void require_distinct(const std::vector<OutputOption>& outputs);

}  // namespace dms::cli
