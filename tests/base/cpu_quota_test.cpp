// What a container grants, as the files of both versions of control groups say it.

#include "base/cpu_quota.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "base/threads.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

/// A root folder with the files that a kernel would show.
class CpuQuota : public testing::Test {
 protected:
  void write(const std::string& file, const std::string& text) { root_.write(file, text); }
  void member_of(const std::string& lines) { write("proc/self/cgroup", lines); }
  int64_t cpus() const { return cpus_of_quota(root_.path()); }

 private:
  testing_support::TempFolder root_;
};

TEST_F(CpuQuota, IsUnlimitedWithoutControlGroups) { EXPECT_EQ(cpus(), kUnlimited); }

TEST_F(CpuQuota, RoundsPartsOfACpuUp) {
  member_of("0::/\n");
  const auto quota = [&](const std::string& text) {
    write("sys/fs/cgroup/cpu.max", text);
    return cpus();
  };
  EXPECT_EQ(quota("150000 100000\n"), 2);
  EXPECT_EQ(quota("200000 100000\n"), 2);
  EXPECT_EQ(quota("10000 100000\n"), 1);
  EXPECT_EQ(quota("max 100000\n"), kUnlimited);
  EXPECT_EQ(quota("garbage\n"), kUnlimited);
  EXPECT_EQ(quota("0 0\n"), kUnlimited);
  EXPECT_EQ(quota("-5 100000\n"), kUnlimited);
}

TEST_F(CpuQuota, TakesTheTightestOfTheGroupsAbove) {
  member_of("0::/a/b/c\n");
  write("sys/fs/cgroup/a/cpu.max", "400000 100000\n");
  write("sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
  write("sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
  EXPECT_EQ(cpus(), 3);
}

TEST_F(CpuQuota, ReadsVersionOne) {
  member_of("9:name=systemd:/x\n5:cpuset:/\n3:cpu,cpuacct:/docker/1234\n0::/\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpus(), kUnlimited);
  write("sys/fs/cgroup/cpu,cpuacct/docker/1234/cpu.cfs_quota_us", "250000\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/1234/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpus(), 3);
}

TEST_F(CpuQuota, FindsAContainersGroupAtTheMountWhereItsNameIsTheHosts) {
  member_of("3:cpu:/docker/1234\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpus(), 1);
}

TEST(AvailableCores, AreAtLeastOne) {
  EXPECT_GE(available_cores(), 1);
  EXPECT_LE(available_cores(), cpus_of_quota());
}

}  // namespace
}  // namespace dms
