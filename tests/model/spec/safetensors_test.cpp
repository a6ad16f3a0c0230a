#include "model/spec/safetensors.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "model/spec/safetensors_file.h"
#include "support/errors.h"
#include "support/seed.h"
#include "support/shapes.h"

namespace dms {
namespace {

using testing_support::as_bytes;
using testing_support::entry;
using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::raw_file;

std::string small_file() {
  const Json header = {{"a", entry("F32", {2, 2}, 0, 16)},
                       {"b", entry("BF16", {3}, 16, 22)},
                       {"empty", entry("F16", {0, 4}, 22, 22)},
                       {"__metadata__", {{"format", "pt"}}}};
  return raw_file(header.dump(), std::string(22, 'x'));
}

std::string error(const Json& header, size_t data_bytes) {
  const std::string file = raw_file(header.dump(), std::string(data_bytes, 'x'));
  return input_error([&] { parse_safetensors(as_bytes(file), "m.safetensors"); });
}

TEST(Safetensors, EntriesAreReadAsWritten) {
  const std::string file = small_file();
  const auto tensors = parse_safetensors(as_bytes(file), "m");
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors.at("a").shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(tensors.at("b").dtype, "BF16");
  EXPECT_EQ(tensors.at("b").begin, std::ssize(file) - 6);
  EXPECT_EQ(tensors.at("b").bytes, 6);
  EXPECT_EQ(tensors.at("empty").bytes, 0);
}

TEST(Safetensors, EveryTruncationAndOneByteMoreIsRefused) {
  const std::string file = small_file();
  for (size_t length = 0; length < file.size(); ++length) {
    const std::string cut = file.substr(0, length);
    expect_parts(input_error([&] { parse_safetensors(as_bytes(cut), "m.safetensors"); }),
                 {"m.safetensors"});
  }
  const std::string longer = file + "x";
  expect_parts(input_error([&] { parse_safetensors(as_bytes(longer), "m.safetensors"); }),
               {"m.safetensors", "bytes behind the last tensor", "got ", "expected "});
}

TEST(Safetensors, FlippedBytesOfTheHeaderNeverReachOutsideTheFile) {
  std::mt19937_64 random(testing_support::seed());
  const std::string good = small_file();
  const size_t header = good.size() - 22;
  for (int64_t trial = 0; trial < testing_support::trials(20'000); ++trial) {
    std::string file = good;
    const auto flips = 1 + random() % 3;
    for (uint64_t i = 0; i < flips; ++i) file[random() % header] = static_cast<char>(random());
    try {
      for (const auto& [name, tensor] : parse_safetensors(as_bytes(file), "m")) {
        EXPECT_GE(tensor.begin, 8) << name << ", seed " << testing_support::seed();
        EXPECT_LE(tensor.begin + tensor.bytes, std::ssize(file)) << name;
      }
    } catch (const InputError& refused) {
      EXPECT_TRUE(std::string(refused.what()).starts_with("m")) << refused.what();
    }
  }
}

TEST(Safetensors, OverlapsHolesAndWrongSizesAreNamed) {
  expect_parts(error({{"a", entry("F32", {2}, 0, 8)}, {"b", entry("F32", {2}, 4, 12)}}, 12),
               {"m.safetensors: tensor b", "overlaps", "got byte ", "expected "});
  expect_parts(error({{"a", entry("F32", {1}, 0, 4)}, {"b", entry("F32", {1}, 8, 12)}}, 12),
               {"m.safetensors: tensor b", "hole"});
  expect_parts(error({{"a", entry("F32", {2}, 0, 8)}}, 4),
               {"m.safetensors: tensor a: data_offsets", "got [0,8]", "at most 4"});
  expect_parts(error({{"a", entry("F32", {3}, 0, 8)}}, 8), {"tensor a", "got 8 bytes", "12"});
  expect_parts(error({{"a", entry("F32", {int64_t{1} << 62, 4}, 0, 8)}}, 8),
               {"tensor a", "impossible shape"});
  expect_parts(error({{"a", entry("F32", {-2}, 0, 8)}}, 8), {"tensor a: shape", "got -2"});
  expect_parts(error({{"a", entry("F99", {2}, 0, 8)}}, 8), {"tensor a", "unknown dtype", "F99"});
  expect_parts(error({{"a", entry("F4", {3}, 0, 1)}}, 1), {"tensor a", "whole bytes"});
}

TEST(Safetensors, MistypedEntriesAreNamed) {
  expect_parts(error({{"a", 7}}, 0), {"tensor a", "got 7", "a JSON object"});
  expect_parts(error(Json::array(), 0), {"m.safetensors: header", "not a JSON object"});
  const std::string broken = raw_file("{\"a\": ", "");
  expect_parts(input_error([&] { parse_safetensors(as_bytes(broken), "m"); }), {"malformed JSON"});
  const std::string deep = raw_file("{\"a\":" + std::string(100'000, '['), "");
  expect_parts(input_error([&] { parse_safetensors(as_bytes(deep), "m"); }), {"nested too deeply"});
}

TEST(Safetensors, MetadataMapsTextToText) {
  for (const Json& bad : {Json(7), Json("pt"), Json(nullptr), Json::array({"a"})}) {
    expect_parts(error({{"__metadata__", bad}}, 0),
                 {"m.safetensors: __metadata__", "got ", "a JSON object"});
  }
  for (const Json& bad : {Json(7), Json(nullptr), Json::array(), Json{{"b", "c"}}}) {
    expect_parts(error({{"__metadata__", {{"a", bad}}}}, 0),
                 {"m.safetensors: __metadata__: a", "a string"});
  }
}

TEST(Safetensors, ANameThatOccursTwiceIsRefused) {
  const std::string one = entry("U8", {1}, 0, 1).dump();
  const std::string twice = raw_file("{\"a\":" + one + ",\"a\":" + one + "}", "x");
  expect_parts(input_error([&] { parse_safetensors(as_bytes(twice), "m.safetensors"); }),
               {"m.safetensors: header: key a", "occurs twice"});
}

}  // namespace
}  // namespace dms
