// Input: what the head of a saved session's file holds behind the name of its model, its length in
// two bytes first, then the cache. It is refused, or the session goes on, is saved and comes back
// the same.
//
// With DMS_FUZZ_SEEDS=FOLDER set the program begins by writing sessions of its own there: inputs
// that are never older than the format.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
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

const std::string& fingerprint() {
  static const std::string name = model().fingerprint();
  return name;
}

std::string saved(const CacheOptions& options, const dms::engine::Sequence& sequence) {
  const std::array<const dms::engine::SequenceState*, 1> states{&sequence.state()};
  const auto head = dms::llm::head_of(options, model().usage(states), sequence);
  return std::string(dms::llm::session_bytes(fingerprint(), head, sequence).data());
}

// A file is: magic, version and size; the head as a list, and its checksum; the cache, and its own.
constexpr size_t kSizeAt = 2 * sizeof(int64_t);
constexpr size_t kHeadAt = 4 * sizeof(int64_t);

uint32_t checksum(std::string_view data) { return dms::crc32(std::as_bytes(std::span(data))); }

/// What every head of this model begins with.
std::string name_bytes() {
  dms::ByteWriter name;
  name.list(std::span(fingerprint()));
  return std::string(name.data());
}

/// Of the beginning of a file up to its size.
const std::string& beginning() {
  static const std::string bytes = [] {
    const Line empty(model(), CacheOptions{}, 1);
    return saved({}, *empty.sequence()).substr(0, kSizeAt);
  }();
  return bytes;
}

std::string file_of(std::string_view input) {
  uint16_t length = 0;
  if (input.size() < sizeof(length)) return {};
  std::memcpy(&length, input.data(), sizeof(length));
  input.remove_prefix(sizeof(length));
  const std::string head = name_bytes() + std::string(input.substr(0, length));
  const std::string_view cache = input.substr(std::min<size_t>(length, input.size()));
  dms::ByteWriter file;
  file.bytes(std::as_bytes(std::span(beginning())));
  file.value(static_cast<int64_t>(kHeadAt + head.size() + cache.size() + 2 * sizeof(uint32_t)));
  file.list(std::span(head));
  file.value(checksum(head));
  file.bytes(std::as_bytes(std::span(cache)));
  file.value(checksum(cache));
  return std::string(file.data());
}

struct Restored {
  CacheOptions options;
  std::shared_ptr<dms::engine::Sequence> sequence;
};

Restored restored(const std::string& file, const char* where) {
  const auto session = dms::llm::parse_session(file, where, fingerprint());
  dms::llm::check_cache(session);
  return {.options = session.head.options, .sequence = dms::llm::read_cache(session, model())};
}

void check(std::string_view input) {
  Restored session = restored(file_of(input), "fuzz");
  Line line(model(), session.sequence, 16);
  line.append(std::vector<int32_t>(40, 7));
  const std::string file = saved(session.options, *line.sequence());
  session = restored(file, "saved again");
  if (saved(session.options, *session.sequence) != file) std::abort();
}

#ifndef LLVMFuzzerTestOneInput  // replayed, it has another name
/// The input that file_of() makes this file of.
std::string input_of(std::string_view file) {
  int64_t head_bytes = 0;
  std::memcpy(&head_bytes, file.data() + kHeadAt - sizeof(head_bytes), sizeof(head_bytes));
  const size_t name = name_bytes().size();
  const auto length = static_cast<uint16_t>(static_cast<size_t>(head_bytes) - name);
  const size_t cache = kHeadAt + static_cast<size_t>(head_bytes) + sizeof(uint32_t);
  std::string input(reinterpret_cast<const char*>(&length), sizeof(length));
  input += file.substr(kHeadAt + name, length);
  input += file.substr(cache, file.size() - sizeof(uint32_t) - cache);
  return input;
}

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
      dms::write_text_file(folder / ("seed-" + std::to_string(number++)), input_of(file));
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
