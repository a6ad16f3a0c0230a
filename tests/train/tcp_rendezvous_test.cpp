// Ranks as threads: each knows no more of the others than processes on other machines would.

#include "train/tcp_rendezvous.h"

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "support/errors.h"

namespace dms::train {
namespace {

using testing_support::expect_parts;
using testing_support::run_error;

c10::intrusive_ptr<c10d::TCPStore> agent() {
  c10d::TCPStoreOptions options;
  options.port = 0;  // a free one
  options.isServer = true;
  options.waitWorkers = false;
  return c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
}

int64_t free_port() { return agent()->getPort(); }

std::vector<std::string> share(Launch launch) {
  std::vector<std::string> received(static_cast<size_t>(launch.size));
  std::vector<std::jthread> ranks;
  for (int64_t rank = 0; rank < launch.size; ++rank) {
    launch.rank = rank;
    ranks.emplace_back([launch, &into = received[static_cast<size_t>(rank)]] {
      std::string own = std::to_string(launch.rank);
      own.append("\0!", 2);
      into = share_over_tcp(launch, own);
    });
  }
  ranks.clear();
  return received;
}

const std::string kSent("0\0!", 3);

TEST(TcpRendezvous, EveryRankGetsWhatTheFirstGives) {
  for (const int64_t size : {1, 2, 5}) {
    const Launch launch{
        .by = Launch::By::torchrun, .size = size, .address = "127.0.0.1", .port = free_port()};
    EXPECT_THAT(share(launch), testing::Each(kSent)) << size << " ranks";
  }
}

/// torchrun's agent outlives the ranks that it starts again: what an earlier attempt left is not
/// taken.
TEST(TcpRendezvous, AgentServesAndAttemptsAreApart) {
  const auto store = agent();
  Launch launch{.by = Launch::By::torchrun,
                .size = 3,
                .address = "127.0.0.1",
                .port = store->getPort(),
                .agent_serves = true};
  store->set("dms-train/0/value", {'o', 'l', 'd'});
  launch.attempt = std::string(1, '1');
  EXPECT_THAT(share(launch), testing::Each(kSent));
}

TEST(TcpRendezvous, RankThatDoesNotComeIsAnError) {
  const Launch launch{
      .by = Launch::By::torchrun, .size = 2, .address = "127.0.0.1", .port = free_port()};
  expect_parts(run_error([&] { share_over_tcp(launch, "x", std::chrono::seconds(1)); }),
               {"the ranks did not all meet"});
}

}  // namespace
}  // namespace dms::train
