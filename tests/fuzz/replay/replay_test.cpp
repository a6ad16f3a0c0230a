// Every file that a fuzzer once found interesting, given to its target again.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/input_file.h"

extern "C" {
int dms_fuzz_config(const uint8_t* data, size_t size);
int dms_fuzz_gguf(const uint8_t* data, size_t size);
int dms_fuzz_jinja(const uint8_t* data, size_t size);
int dms_fuzz_json(const uint8_t* data, size_t size);
int dms_fuzz_npy(const uint8_t* data, size_t size);
int dms_fuzz_safetensors(const uint8_t* data, size_t size);
int dms_fuzz_serve_request(const uint8_t* data, size_t size);
int dms_fuzz_session(const uint8_t* data, size_t size);
int dms_fuzz_structure(const uint8_t* data, size_t size);
int dms_fuzz_tokenizer(const uint8_t* data, size_t size);
int dms_fuzz_tool_calls(const uint8_t* data, size_t size);
}

namespace dms {
namespace {

struct Target {
  std::string_view name;
  int (*run)(const uint8_t* data, size_t size);
};

class Replay : public ::testing::TestWithParam<Target> {};

TEST_P(Replay, EveryFileOfTheCorpusEndsWell) {
  const std::filesystem::path folder =
      std::filesystem::path(DMS_SOURCE_DIR) / "tests" / "fuzz" / "corpus" / GetParam().name;
  std::vector<std::filesystem::path> files;
  for (const auto& item : std::filesystem::directory_iterator(folder)) files.push_back(item.path());
  ASSERT_FALSE(files.empty()) << folder;
  std::ranges::sort(files);
  for (const auto& path : files) {
    SCOPED_TRACE(path.string());
    const std::string file = read_text_file(path, int64_t{1} << 28);
    const auto* bytes = reinterpret_cast<const uint8_t*>(file.data());
    EXPECT_NO_THROW(EXPECT_EQ(GetParam().run(bytes, file.size()), 0));
  }
}

INSTANTIATE_TEST_SUITE_P(Fuzz,
                         Replay,
                         ::testing::Values(Target{"config", dms_fuzz_config},
                                           Target{"gguf", dms_fuzz_gguf},
                                           Target{"jinja", dms_fuzz_jinja},
                                           Target{"json", dms_fuzz_json},
                                           Target{"npy", dms_fuzz_npy},
                                           Target{"safetensors", dms_fuzz_safetensors},
                                           Target{"serve_request", dms_fuzz_serve_request},
                                           Target{"session", dms_fuzz_session},
                                           Target{"structure", dms_fuzz_structure},
                                           Target{"tokenizer", dms_fuzz_tokenizer},
                                           Target{"tool_calls", dms_fuzz_tool_calls}),
                         [](const auto& item) { return std::string(item.param.name); });

}  // namespace
}  // namespace dms
