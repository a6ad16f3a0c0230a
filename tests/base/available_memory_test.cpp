// What may still be taken, as /proc and both versions of control groups say it.

#include "base/available_memory.h"

#include <string>

#include <gtest/gtest.h>

#include "support/temp_folder.h"

namespace dms {
namespace {

/// A machine with 8 MiB to take, and the files that a kernel would show.
class AvailableMemory : public testing::Test {
 protected:
  AvailableMemory() {
    write("proc/meminfo", "MemTotal: 16384 kB\nMemFree: 1024 kB\nMemAvailable:    8192 kB\n");
  }
  void write(const std::string& file, const std::string& text) { root_.write(file, text); }
  void member_of(const std::string& lines) { write("proc/self/cgroup", lines); }
  int64_t bytes() const { return available_memory(root_.path()); }

  static constexpr int64_t kMachine = 8192 * 1024;

 private:
  testing_support::TempFolder root_;
};

TEST_F(AvailableMemory, IsTheMachinesWithoutLimits) {
  EXPECT_EQ(bytes(), kMachine);
  member_of("0::/a\n");
  write("sys/fs/cgroup/a/memory.max", "max\n");
  write("sys/fs/cgroup/a/memory.current", "5000\n");
  EXPECT_EQ(bytes(), kMachine);
}

TEST_F(AvailableMemory, IsNothingWhereItCannotBeTold) {
  write("proc/meminfo", "MemTotal: 16384 kB\n");
  EXPECT_EQ(bytes(), 0);
}

TEST_F(AvailableMemory, IsWhatTheTightestGroupHasLeft) {
  member_of("0::/a/b\n");
  write("sys/fs/cgroup/a/memory.max", "1000000\n");
  write("sys/fs/cgroup/a/memory.current", "400000\n");
  write("sys/fs/cgroup/a/b/memory.max", "900000\n");
  write("sys/fs/cgroup/a/b/memory.current", "100000\n");
  EXPECT_EQ(bytes(), 600000);
  write("sys/fs/cgroup/a/b/memory.current", "900001\n");
  EXPECT_EQ(bytes(), 0);
}

TEST_F(AvailableMemory, OfAContainerLiesAtTheMount) {
  member_of("0::/name/on/the/host\n");
  write("sys/fs/cgroup/memory.max", "3000\n");
  write("sys/fs/cgroup/memory.current", "1000\n");
  EXPECT_EQ(bytes(), 2000);
}

TEST_F(AvailableMemory, VersionOneNamesItsFilesOtherwise) {
  member_of("5:cpu,cpuacct:/a\n4:memory:/a\n");
  write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "7000\n");
  write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "3000\n");
  EXPECT_EQ(bytes(), 4000);
}

}  // namespace
}  // namespace dms
