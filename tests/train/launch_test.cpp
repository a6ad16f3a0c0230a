#include "train/launch.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "support/errors.h"

namespace dms::train {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

/// The environment of a process that a launcher started, without what the test's own has.
class LaunchTest : public testing::Test {
 protected:
  LaunchTest() { clear(); }
  ~LaunchTest() override { clear(); }

  static void set(std::initializer_list<std::pair<const char*, const char*>> variables) {
    for (const auto& [name, value] : variables) setenv(name, value, 1);
  }

 private:
  static void clear() {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE",
                             "OMPI_COMM_WORLD_RANK",
                             "OMPI_COMM_WORLD_LOCAL_RANK",
                             "PMI_SIZE",
                             "PMI_RANK",
                             "MPI_LOCALRANKID",
                             "SLURM_LOCALID",
                             "RANK",
                             "LOCAL_RANK",
                             "WORLD_SIZE",
                             "MASTER_ADDR",
                             "MASTER_PORT",
                             "TORCHELASTIC_USE_AGENT_STORE",
                             "TORCHELASTIC_RESTART_COUNT",
                             "TORCHELASTIC_RUN_ID"}) {
      unsetenv(name);
    }
  }
};

TEST_F(LaunchTest, AloneWithoutALauncher) {
  const Launch launch = find_launch();
  EXPECT_EQ(launch.by, Launch::By::itself);
  EXPECT_EQ(launch.size, 1);
}

TEST_F(LaunchTest, Mpirun) {
  set({{"OMPI_COMM_WORLD_SIZE", "4"},
       {"OMPI_COMM_WORLD_RANK", "3"},
       {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}});
  const Launch launch = find_launch();
  EXPECT_EQ(launch.by, Launch::By::mpirun);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.local_rank, 1);
}

TEST_F(LaunchTest, Torchrun) {
  set({{"RANK", "5"},
       {"LOCAL_RANK", "1"},
       {"WORLD_SIZE", "8"},
       {"MASTER_ADDR", "node0"},
       {"MASTER_PORT", "29500"},
       {"TORCHELASTIC_USE_AGENT_STORE", "True"},
       {"TORCHELASTIC_RESTART_COUNT", "2"}});
  const Launch launch = find_launch();
  EXPECT_EQ(launch.by, Launch::By::torchrun);
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.size, 8);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.address, "node0");
  EXPECT_EQ(launch.port, 29500);
  EXPECT_TRUE(launch.agent_serves);
  EXPECT_EQ(launch.attempt, "2");
}

TEST_F(LaunchTest, TorchrunCountsWhereMpirunOrSrunStartedIt) {
  set({{"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "1"}, {"PMI_SIZE", "2"}});
  set({{"RANK", "9"},
       {"LOCAL_RANK", "1"},
       {"WORLD_SIZE", "16"},
       {"MASTER_ADDR", "node0"},
       {"MASTER_PORT", "29500"}});
  const Launch launch = find_launch();
  EXPECT_EQ(launch.by, Launch::By::torchrun);
  EXPECT_EQ(launch.rank, 9);
  EXPECT_EQ(launch.size, 16);
}

TEST_F(LaunchTest, NamesWhatIsMissingOrWrong) {
  set({{"WORLD_SIZE", "2"}, {"RANK", "1"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "node0"}});
  expect_parts(input_error([] { find_launch(); }), {"MASTER_PORT: missing"});
  set({{"MASTER_PORT", "70000"}});
  expect_parts(input_error([] { find_launch(); }), {"MASTER_PORT: bad value"});
  set({{"MASTER_PORT", "29500"}, {"RANK", "2"}});
  expect_parts(input_error([] { find_launch(); }), {"less than WORLD_SIZE = 2"});
  set({{"RANK", "one"}});
  expect_parts(input_error([] { find_launch(); }), {"got one"});
}

}  // namespace
}  // namespace dms::train
