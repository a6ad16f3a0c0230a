#include "train/checkpoint/manifest.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>
#include <system_error>

#include "base/checksum.h"
#include "base/file_status.h"
#include "base/input_file.h"
#include "base/json.h"
#include "base/output_file.h"
#include "dms/error.h"

namespace dms::train {
namespace {

constexpr std::string_view kFormat = "dms-checkpoint";
constexpr int64_t kVersion = 1;
constexpr int64_t kMaxManifestBytes = int64_t{16} << 20;
constexpr int64_t kMaxStep = int64_t{1} << 50;
constexpr int64_t kMaxWorldSize = int64_t{1} << 20;
constexpr int64_t kMaxFileBytes = int64_t{1} << 60;
constexpr size_t kCrcDigits = 8;
constexpr int64_t kPieceBytes = int64_t{1} << 20;

uint32_t crc_of(const InputFile& file) {
  uint32_t crc = 0;
  for (int64_t at = 0; at < file.bytes(); at += kPieceBytes) {
    const std::string piece = file.read_text(at, std::min(kPieceBytes, file.bytes() - at));
    crc = crc32(std::as_bytes(std::span(piece)), crc);
  }
  return crc;
}

std::string hex(uint32_t crc) {
  std::string text(kCrcDigits, '0');
  for (size_t i = 0; i < kCrcDigits; ++i) {
    text[kCrcDigits - 1 - i] = "0123456789abcdef"[(crc >> (4 * i)) & 0xfu];
  }
  return text;
}

std::optional<uint32_t> parse_hex(std::string_view text) {
  uint32_t crc = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, crc, 16);
  if (text.size() != kCrcDigits || error != std::errc() || stop != end) return std::nullopt;
  return crc;
}

bool is_plain(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name != kManifestFile &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

ManifestFile parse_file(const Json& value, const std::string& where) {
  const JsonFields fields(value, where);
  ManifestFile file{.name = fields.string("name"),
                    .bytes = fields.integer("bytes", 0, kMaxFileBytes)};
  const std::string crc = fields.string("crc32");
  const std::optional<uint32_t> number = parse_hex(crc);
  if (!number) {
    throw InputError({.where = where + ": crc32",
                      .what = "bad value",
                      .got = crc.substr(0, 60),
                      .expected = "8 hexadecimal digits"});
  }
  if (!is_plain(file.name)) {
    throw InputError({.where = where + ": name",
                      .what = "is not a plain file name",
                      .got = file.name.substr(0, 60),
                      .expected = "a file in the checkpoint"});
  }
  file.crc32 = *number;
  return file;
}

void check_format(const JsonFields& fields) {
  const std::string format = fields.string("format");
  if (format != kFormat) {
    throw InputError({.where = fields.where() + ": format",
                      .what = "is not a checkpoint's manifest",
                      .got = format.substr(0, 60),
                      .expected = std::string(kFormat)});
  }
  fields.integer("version", kVersion, kVersion);
}

void check_file(const std::filesystem::path& path, const ManifestFile& saved, Check check) {
  if (!path_exists(path)) {
    throw InputError({.where = path.string(),
                      .what = "missing from the checkpoint",
                      .expected = std::to_string(saved.bytes) + " bytes"});
  }
  const InputFile file(path);
  const int64_t size = file.bytes();
  if (size != saved.bytes) {
    throw InputError({.where = path.string(),
                      .what = size < saved.bytes ? "shorter than when it was saved"
                                                 : "longer than when it was saved",
                      .got = std::to_string(size) + " bytes",
                      .expected = std::to_string(saved.bytes)});
  }
  if (check == Check::sizes) return;
  const uint32_t crc = crc_of(file);
  if (crc != saved.crc32) {
    throw InputError({.where = path.string(),
                      .what = "damaged: it holds something else than when it was saved",
                      .got = "CRC-32 " + hex(crc),
                      .expected = hex(saved.crc32)});
  }
}

}  // namespace

Manifest make_manifest(const std::filesystem::path& folder, int64_t step, int64_t world_size) {
  Manifest manifest{.step = step, .world_size = world_size, .files = {}};
  for (const std::filesystem::path& item : entries_of(folder)) {
    const InputFile file(item);
    manifest.files.push_back(
        {.name = item.filename().string(), .bytes = file.bytes(), .crc32 = crc_of(file)});
  }
  std::ranges::sort(manifest.files, {}, &ManifestFile::name);
  return manifest;
}

void write_manifest(const std::filesystem::path& folder, const Manifest& manifest) {
  Json files = Json::array();
  for (const ManifestFile& file : manifest.files) {
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"crc32", hex(file.crc32)}});
  }
  const Json root{{"format", kFormat},
                  {"version", kVersion},
                  {"step", manifest.step},
                  {"world_size", manifest.world_size},
                  {"files", files}};
  write_text_file(folder / kManifestFile, root.dump(1) + "\n");
}

Manifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kManifestFile;
  const Json root = read_json_file(path, kMaxManifestBytes);
  const JsonFields fields(root, path.string());
  check_format(fields);
  Manifest manifest{.step = fields.integer("step", 0, kMaxStep),
                    .world_size = fields.integer("world_size", 1, kMaxWorldSize),
                    .files = {}};
  const Json* files = fields.find("files");
  if (files == nullptr || !files->is_array()) {
    throw InputError({.where = path.string() + ": files",
                      .what = files == nullptr ? "missing" : "bad value",
                      .expected = "an array"});
  }
  for (const Json& file : *files) {
    const std::string place = std::to_string(manifest.files.size());
    manifest.files.push_back(parse_file(file, path.string() + ": file " + place));
  }
  std::ranges::sort(manifest.files, {}, &ManifestFile::name);
  return manifest;
}

void check_files(const std::filesystem::path& folder, const Manifest& manifest, Check check) {
  for (const ManifestFile& file : manifest.files) check_file(folder / file.name, file, check);
}

}  // namespace dms::train
