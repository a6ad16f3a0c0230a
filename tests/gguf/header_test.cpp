#include "gguf/header.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gguf/file.h"
#include "support/errors.h"
#include "support/gguf_bytes.h"
#include "support/temp_folder.h"

namespace dms::gguf {
namespace {

using namespace testing_support;  // the words that a file is made of

constexpr uint64_t kHuge = uint64_t{1} << 60;

std::span<const std::byte> bytes_of(const std::string& file) {
  return std::as_bytes(std::span(file.data(), file.size()));
}

/// Every kind of value, two tensors.
GgufParts small_parts() {
  const std::string row = gguf_array(4, 2, raw(uint32_t{7}) + raw(uint32_t{8}));
  return {.metadata = {{"a.u8", raw(uint32_t{0}) + raw(uint8_t{200})},
                       {"a.i8", raw(uint32_t{1}) + raw(int8_t{-3})},
                       {"a.u16", raw(uint32_t{2}) + raw(uint16_t{40000})},
                       {"a.i16", raw(uint32_t{3}) + raw(int16_t{-300})},
                       {"a.u32", gguf_u32(4'000'000'000)},
                       {"a.i32", raw(uint32_t{5}) + raw(int32_t{-70000})},
                       {"a.f32", gguf_f32(0.5f)},
                       {"a.bool", gguf_bool(true)},
                       {"a.text", gguf_text("wörd")},
                       {"a.u64", raw(uint32_t{10}) + raw(uint64_t{1} << 63)},
                       {"a.i64", raw(uint32_t{11}) + raw(int64_t{-5})},
                       {"a.f64", raw(uint32_t{12}) + raw(0.1)},
                       {"a.texts", gguf_texts({"x", "", "yz"})},
                       {"a.rows", gguf_array(9, 2, row.substr(4) + row.substr(4))}},
          .tensors = {{.name = "m", .sizes = {3, 2}, .data = std::string(24, 'm')},
                      {.name = "q", .sizes = {32}, .type = 8, .data = std::string(34, 'q')}}};
}

Header parsed(const GgufParts& parts) {
  return parse_header(bytes_of(gguf_bytes(parts)), "m.gguf");
}

TEST(GgufHeader, IsReadAsWritten) {
  for (const uint32_t version : {2u, 3u}) {
    GgufParts parts = small_parts();
    parts.version = version;
    const Header header = parsed(parts);
    EXPECT_EQ(header.metadata, Json::parse(R"({"a.u8": 200, "a.i8": -3, "a.u16": 40000,
        "a.i16": -300, "a.u32": 4000000000, "a.i32": -70000, "a.f32": 0.5, "a.bool": true,
        "a.text": "wörd", "a.u64": 9223372036854775808, "a.i64": -5, "a.f64": 0.1,
        "a.texts": ["x", "", "yz"], "a.rows": [[7, 8], [7, 8]]})"));
    ASSERT_EQ(header.tensors.size(), 2u);
    const Tensor& m = header.tensors.at("m");
    EXPECT_EQ(m.shape, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(m.type->name, "F32");
    EXPECT_EQ(m.bytes, 24);
    EXPECT_EQ(header.tensors.at("q").bytes, 34);
    EXPECT_EQ(header.tensors.at("q").begin, m.begin + 32);
  }
}

TEST(GgufHeader, OfAFileReadThroughSmallPiecesIsTheSame) {
  const TempFolder folder;
  GgufParts parts = small_parts();
  std::vector<std::string> texts(30000, "a text that is longer than most tokens are");
  parts.metadata.emplace_back("long", gguf_texts(texts));
  parts.metadata.emplace_back("longer", gguf_text(std::string(200'000, 'x')));
  const std::string bytes = gguf_bytes(parts);
  const File file(folder.write("m.bin", bytes));
  EXPECT_EQ(file.metadata(), parse_header(bytes_of(bytes), "m").metadata);
  std::string data(20, '\0');
  file.read(*file.find("q"), 14, std::as_writable_bytes(std::span(data)));
  EXPECT_EQ(data, std::string(20, 'q'));
  EXPECT_EQ(file.find("r"), nullptr);
}

TEST(GgufHeader, IsKnownByNameOrFirstLetters) {
  const TempFolder folder;
  EXPECT_TRUE(is_gguf(folder.write("model", gguf_bytes(small_parts()))));
  EXPECT_TRUE(is_gguf(folder.write("empty.gguf", "")));
  EXPECT_FALSE(is_gguf(folder.write("config.json", "{}")));
  EXPECT_FALSE(is_gguf(folder.path()));
  EXPECT_FALSE(is_gguf(folder.path() / "nothing.gguf"));
}

TEST(GgufHeader, CutShortAnywhereIsRefused) {
  const std::string whole = gguf_bytes(small_parts());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    // In memory of its own, so that a sanitizer sees what is read beyond it.
    const std::string file = whole.substr(0, bytes);
    const std::string message = input_error([&] { parse_header(bytes_of(file), "m.gguf"); });
    EXPECT_TRUE(message.starts_with("m.gguf")) << bytes << ": " << message;
  }
}

struct Damage {
  std::string name;
  std::function<void(GgufParts&)> bend;
  std::vector<std::string> words;
};

class DamagedGguf : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedGguf, IsRefusedByName) {
  GgufParts parts = small_parts();
  GetParam().bend(parts);
  const std::string message = input_error([&] { parsed(parts); });
  expect_parts(message, {"m.gguf"});
  for (const std::string& word : GetParam().words) expect_parts(message, {word});
}

void add(GgufParts& parts, const std::string& key, const std::string& value) {
  parts.metadata.emplace_back(key, value);
}

std::string numbered(uint32_t type, uint64_t count) { return gguf_array(type, count, ""); }

INSTANTIATE_TEST_SUITE_P(
    Every,
    DamagedGguf,
    ::
        testing::Values(Damage{"Magic",
                               [](GgufParts& p) { p.magic.back() = 'L'; },
                               {"no GGUF file", "GGUL"}},
                        Damage{"Version1",
                               [](GgufParts& p) { p.version = 1; },
                               {"version", "got 1", "2 or 3"}},
                        Damage{"BigEndian",
                               [](GgufParts& p) { p.version = 3u << 24; },
                               {"big-endian"}},
                        Damage{"Tensors",
                               [](GgufParts& p) { p.tensor_count = int64_t{kHuge}; },
                               {"number of tensors", "1152921504606846976", "at most"}},
                        Damage{"Entries",
                               [](GgufParts& p) { p.entry_count = int64_t{kHuge}; },
                               {"number of metadata entries", "1152921504606846976"}},
                        Damage{"TextLength",
                               [](GgufParts& p) { add(p, "k", raw(uint32_t{8}) + raw(kHuge)); },
                               {": k:", "1152921504606846976 bytes"}},
                        Damage{"NameLength",
                               [](GgufParts& p) { p.entry_count = 15; },
                               {"name of tensor 1", "exceeds the file"}},
                        Damage{"ArrayLength",
                               [](GgufParts& p) { add(p, "k", numbered(0, kHuge)); },
                               {": k:", "count exceeds", "1152921504606846976"}},
                        Damage{"ArrayOfArrays",
                               [](GgufParts& p) { add(p, "k", numbered(9, kHuge)); },
                               {": k:", "count exceeds"}},
                        Damage{"Nesting",
                               [](GgufParts& p) {
                                 std::string value = gguf_array(4, 1, raw(uint32_t{1})).substr(4);
                                 for (int i = 0; i < 5; ++i)
                                   value = gguf_array(9, 1, value).substr(4);
                                 add(p, "k", raw(uint32_t{9}) + value);
                               },
                               {": k:", "nested too deeply"}},
                        Damage{
                            "ValueType",
                            [](GgufParts& p) { add(p, "k", raw(uint32_t{13}) + raw(uint64_t{0})); },
                            {": k:", "unknown type of value", "got 13"}},
                        Damage{
                            "Boolean",
                            [](GgufParts& p) { add(p, "k", raw(uint32_t{7}) + raw(uint8_t{2})); },
                            {": k:", "got 2", "a boolean"}},
                        Damage{"NoUtf8",
                               [](GgufParts& p) { add(p, "k", gguf_text("a\xff")); },
                               {": k:", "no UTF-8"}},
                        Damage{"KeyTwice",
                               [](GgufParts& p) { add(p, "a.f32", gguf_f32(1)); },
                               {"a.f32", "key given twice"}},
                        Damage{"TensorTwice",
                               [](GgufParts& p) { p.tensors[1].name.front() = 'm'; },
                               {"tensor m", "twice"}},
                        Damage{"AlignmentZero",
                               [](GgufParts& p) { add(p, "general.alignment", gguf_u32(0)); },
                               {"general.alignment", "got 0"}},
                        Damage{"AlignmentOdd",
                               [](GgufParts& p) { add(p, "general.alignment", gguf_u32(48)); },
                               {"general.alignment", "got 48", "power of two"}},
                        Damage{"AlignmentText",
                               [](GgufParts& p) { add(p, "general.alignment", gguf_text("32")); },
                               {"general.alignment", "got \"32\"", "an integer"}},
                        Damage{"OtherAlignment",
                               [](GgufParts& p) { add(p, "general.alignment", gguf_u32(64)); },
                               {"tensor q"}},
                        Damage{"Split",
                               [](GgufParts& p) {
                                 add(p, "split.count", raw(uint32_t{2}) + raw(uint16_t{3}));
                               },
                               {"split.count", "3 parts", "--merge"}},
                        Damage{"Dimensions",
                               [](GgufParts& p) {
                                 p.tensors[0].sizes = {3, 2, 1, 1, 1};
                               },
                               {"tensor m", "dimensions", "got 5", "1 to 4"}},
                        Damage{"NoDimensions",
                               [](GgufParts& p) { p.tensors[0].sizes = {}; },
                               {"got 0"}},
                        Damage{"SizeZero",
                               [](GgufParts& p) {
                                 p.tensors[0].sizes = {3, 0};
                               },
                               {"bad size"}},
                        Damage{"SizeHuge",
                               [](GgufParts& p) {
                                 p.tensors[0].sizes = {kHuge, kHuge};
                               },
                               {"tensor m", "impossible shape"}},
                        Damage{"SizeNegative",
                               [](GgufParts& p) {
                                 p.tensors[0].sizes = {3, ~uint64_t{0}};
                               },
                               {"tensor m", "bad size"}},
                        Damage{"TensorType",
                               [](GgufParts& p) { p.tensors[0].type = 99; },
                               {"tensor m", "unknown tensor type", "got 99", "Q4_K"}},
                        Damage{"Blocks",
                               [](GgufParts& p) { p.tensors[1].sizes = {33}; },
                               {"tensor q", "33 columns of Q8_0", "a multiple of 32"}},
                        Damage{"Outside",
                               [](GgufParts& p) { p.tensors[1].offset = 64; },
                               {"tensor q", "outside the file", "34 bytes at 64"}},
                        Damage{"FarOutside",
                               [](GgufParts& p) { p.tensors[1].offset = INT64_MAX; },
                               {"tensor q", "outside the file"}},
                        Damage{"Overlap",
                               [](GgufParts& p) { p.tensors[1].offset = 0; },
                               {"overlaps another tensor"}},
                        Damage{"Crooked",
                               [](GgufParts& p) { p.tensors[1].offset = 30; },
                               {"tensor q", "not where the last one ends"}},
                        Damage{
                            "Hole",
                            [](GgufParts& p) {
                              p.tensors[1].offset = 64;
                              p.tensors[1].data.resize(100);
                            },
                            {"tensor q", "not where the last one ends"}}),
    [](const auto& item) { return item.param.name; });

}  // namespace
}  // namespace dms::gguf
