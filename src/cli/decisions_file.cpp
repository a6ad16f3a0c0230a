#include "cli/decisions_file.h"

#include <fstream>
#include <string>

#include <fmt/format.h>

#include "base/check.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

/// Magic, version 1.0, length of the dictionary, dictionary: 64 bytes in all, or a multiple.
std::string npy_header(int64_t layers, int64_t kv_heads, int64_t tokens) {
  constexpr int64_t kPrefixBytes = 10;
  constexpr int64_t kAlignment = 64;
  std::string dictionary =
      fmt::format("{{'descr': '|u1', 'fortran_order': False, 'shape': ({}, {}, {}), }}",
                  layers,
                  kv_heads,
                  tokens);
  const int64_t total = round_up(kPrefixBytes + std::ssize(dictionary) + 1, kAlignment);
  dictionary.resize(static_cast<size_t>(total - kPrefixBytes - 1), ' ');
  dictionary += '\n';
  const size_t length = dictionary.size();
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(length & 0xff);
  header += static_cast<char>(length >> 8);
  return header + dictionary;
}

}  // namespace

void write_decisions(const std::filesystem::path& path,
                     int64_t layers,
                     int64_t kv_heads,
                     std::span<const uint8_t> decisions) {
  const int64_t heads = layers * kv_heads;
  ensure(heads > 0 && std::ssize(decisions) % heads == 0, "decisions of a whole number of tokens");
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (!file) throw InputError({.where = path.string(), .what = "cannot be created"});
  const std::string header = npy_header(layers, kv_heads, std::ssize(decisions) / heads);
  file.write(header.data(), std::ssize(header));
  file.write(reinterpret_cast<const char*>(decisions.data()), std::ssize(decisions));
  file.flush();
  if (!file) throw RunError({.where = path.string(), .what = "cannot be written; disk full?"});
}

}  // namespace dms::cli
