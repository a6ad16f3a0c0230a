#include "train/data/sha256.h"

#include <string>

#include <gtest/gtest.h>

namespace dms::train::data {
namespace {

TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesAddUpToTheWhole) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7);
  for (const size_t size : {1u, 63u, 64u, 65u, 200u, 1000u}) {
    Sha256 hash;
    for (size_t at = 0; at < text.size(); at += size)
      hash.add(std::string_view(text).substr(at, size));
    EXPECT_EQ(hash.finish(), sha256(text)) << size;
  }
}

struct Padded {
  size_t length;
  const char* digest;
};

class Sha256Length : public ::testing::TestWithParam<Padded> {};

// By Python's hashlib: lengths around those at which padding takes another block.
TEST_P(Sha256Length, PadsAtEveryEdge) {
  EXPECT_EQ(sha256(std::string(GetParam().length, '\xff')), GetParam().digest);
}

INSTANTIATE_TEST_SUITE_P(
    Edges,
    Sha256Length,
    ::testing::Values(
        Padded{55, "aadaed00a3c5fbb8072ae7f1984ba8199fbe5272de427d11eaf31583af37db51"},
        Padded{56, "528ff50ab05e77bbbd224a9ec86165dbb6824a9a9efb544be0a1d57d5b416457"},
        Padded{57, "6eaa0abf8d7eda3e157692f5191a59bc08196ac193f6ac3bdde2af54214f2240"},
        Padded{63, "d12449c8124182545ae91924286cc6af13528bcf62a5ddbd5e00b891fffc1b48"},
        Padded{64, "8667e718294e9e0df1d30600ba3eeb201f764aad2dad72748643e4a285e1d1f7"},
        Padded{65, "855c9a28fff2bbbd71327165554a00c6fdd44d5d58c1f12b8fdff29b5d67f001"},
        Padded{119, "b863f94597d433ef2280e3b4656f13ea265a79bb8047287321c218905b03c99b"},
        Padded{120, "9088fee917e5a748c2f0b4f5458c1cbdabbd696291c69be6e605bae0ef779e8f"},
        Padded{128, "e9175db65a9789096ca9cb5524d3abc2107df03e3c9ba3af1aca628f9c5d3bd2"}),
    [](const auto& item) { return "Bytes" + std::to_string(item.param.length); });

}  // namespace
}  // namespace dms::train::data
