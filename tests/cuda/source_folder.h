#pragma once
// Where tests find the checkout's files. Programs that were carried to another machine are told by
// DMS_SOURCE_DIR in the environment (scripts/gpu does); elsewhere it is where they were compiled.

#include <cstdlib>
#include <filesystem>

namespace dms::testing_support {

inline std::filesystem::path source_folder() {
  const char* told = std::getenv("DMS_SOURCE_DIR");
  return told != nullptr ? told : DMS_SOURCE_DIR;
}

}  // namespace dms::testing_support
