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

}  // namespace
}  // namespace dms::train::data
