#include "cli/decisions_file.h"

#include <filesystem>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/npy.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

using testing::ElementsAre;

TEST(WriteDecisions, GivesAFileThatTheReaderOfDecisionsTakes) {
  const auto path = std::filesystem::path(testing::TempDir()) / "dms-decisions-test.npy";
  const std::vector<uint8_t> decisions{1, 0, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0};
  write_decisions(path, 2, 3, decisions);
  const NpyBytes read = read_npy_bytes(path);
  std::filesystem::remove(path);
  EXPECT_THAT(read.shape, ElementsAre(2, 3, 2));
  EXPECT_EQ(read.values, decisions);
}

TEST(WriteDecisions, TellsBadPathsFromFullDisks) {
  const std::vector<uint8_t> decisions(4);
  EXPECT_THROW(write_decisions("/nowhere/x.npy", 1, 1, decisions), InputError);
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  EXPECT_THROW(write_decisions("/dev/full", 1, 1, decisions), RunError);
}

}  // namespace
}  // namespace dms::cli
