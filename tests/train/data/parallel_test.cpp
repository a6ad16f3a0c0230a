#include "train/data/parallel.h"

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace dms::train::data {
namespace {

TEST(ParallelFor, CallsEachPieceOnce) {
  for (const int64_t threads : {1, 2, 3, 16}) {
    for (const int64_t count : {0, 1, 2, 5, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      parallel_for(count, threads, [&](int64_t i) { ++calls[static_cast<size_t>(i)]; });
      for (const auto& number : calls) EXPECT_EQ(number, 1);
    }
  }
}

TEST(ParallelFor, ThrowsWhatTheFirstFailingPieceThrew) {
  for (const int64_t threads : {1, 4}) {
    for (int round = 0; round < 50; ++round) {
      try {
        parallel_for(200, threads, [](int64_t i) {
          if (i >= 60 && i % 10 == 0) throw std::runtime_error(std::to_string(i));
        });
        FAIL() << "nothing thrown";
      } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "60");
      }
    }
  }
}

}  // namespace
}  // namespace dms::train::data
