// Input: what a file of a saved session holds behind the name of its model. It is refused, or the
// session goes on, is saved and comes back the same.
//
// With DMS_FUZZ_SEEDS=FOLDER set the program begins by writing sessions of its own there: inputs
// that are never older than the format.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/output_file.h"
#include "base/threads.h"
#include "cpu/tiny_model.h"
#include "dms/error.h"
#include "llm/session_file.h"

namespace {

using dms::CacheOptions;
using dms::cpu::CpuModel;
using dms::cpu::Line;

constexpr int64_t kMemoryBytes = int64_t{1} << 20;
constexpr size_t kHeadBytes = 16;  // what tells the format, in front of what the checksum covers

CpuModel& model() {
  static CpuModel tiny = dms::cpu::tiny_model(
      {.layers = 1,
       .kv_heads = 2,
       .group = 1,
       .head_dim = 4,
       .dms = dms::DmsSpec{.source = dms::DmsSource::adapter, .decision_shift = 1, .window = 5}},
      1,
      dms::DType::f32,
      kMemoryBytes);
  return tiny;
}

std::string saved(const CacheOptions& options, const dms::engine::Sequence& sequence) {
  return std::string(dms::llm::session_bytes(model(), options, sequence).data());
}

/// What every file of this model begins with, its name included.
const std::string& beginning() {
  static const std::string bytes = [] {
    const Line empty(model(), CacheOptions{}, 1);
    dms::ByteWriter name;
    const std::string fingerprint = model().fingerprint();
    name.list(std::span(fingerprint));
    return saved({}, *empty.sequence()).substr(0, kHeadBytes + name.data().size());
  }();
  return bytes;
}

std::string file_of(std::string_view input) {
  std::string file = beginning();
  file += input;
  const uint32_t sum =
      dms::crc32(std::as_bytes(std::span(std::string_view(file).substr(kHeadBytes))));
  file.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
  return file;
}

void check(std::string_view input) {
  dms::llm::SavedSession session = dms::llm::parse_session(file_of(input), "fuzz", model());
  Line line(model(), session.sequence, 16);
  line.append(std::vector<int32_t>(40, 7));
  const std::string file = saved(session.options, *line.sequence());
  session = dms::llm::parse_session(file, "saved again", model());
  if (saved(session.options, *session.sequence) != file) std::abort();
}

#ifndef LLVMFuzzerTestOneInput  // replayed, it has another name
void write_seeds(const std::filesystem::path& folder) {
  const std::array<CacheOptions, 5> all{
      {{.policy = "none"},
       {.policy = "dms"},
       {.policy = "streaming", .policy_args = {{"start_size", "3"}, {"recent_size", "8"}}},
       {.policy = "random", .policy_args = {{"cr", "2"}}, .window_tokens = 6},
       {.policy = "none", .window_tokens = 6, .kv_dtype = "bf16"}}};
  int number = 0;
  for (const CacheOptions& options : all) {
    for (const int64_t tokens : {2, 80}) {
      Line line(model(), options, 16);
      line.append(dms::cpu::random_ids(tokens, model().vocab(), 1));
      const std::string file = saved(options, *line.sequence());
      const std::string_view input = std::string_view(file).substr(beginning().size());
      dms::write_text_file(folder / ("seed-" + std::to_string(number++)),
                           input.substr(0, input.size() - sizeof(uint32_t)));
    }
  }
}
#endif

}  // namespace

#ifndef LLVMFuzzerTestOneInput
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  if (const char* folder = std::getenv("DMS_FUZZ_SEEDS")) write_seeds(folder);
  return 0;
}
#endif

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dms::use_threads(1);
  try {
    check({reinterpret_cast<const char*>(data), size});
  } catch (const dms::Error&) {
    return 0;
  }
  return 0;
}
