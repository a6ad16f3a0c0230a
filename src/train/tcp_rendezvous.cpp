#include "train/tcp_rendezvous.h"

#include <cstdint>
#include <exception>
#include <vector>

#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "dms/error.h"

namespace dms::train {
namespace {

std::string share(c10d::TCPStore& store, const Launch& launch, const std::string& bytes) {
  const std::string prefix = "dms-train/" + launch.attempt + "/";
  if (launch.rank != 0) {
    const std::vector<uint8_t> value = store.get(prefix + "value");
    store.set(prefix + "read/" + std::to_string(launch.rank), {1});
    return {value.begin(), value.end()};
  }
  store.set(prefix + "value", {bytes.begin(), bytes.end()});
  // The store may go with this process: not before all have read.
  std::vector<std::string> read;
  for (int64_t rank = 1; rank < launch.size; ++rank) {
    read.push_back(prefix + "read/" + std::to_string(rank));
  }
  if (!read.empty()) store.wait(read);
  return bytes;
}

}  // namespace

std::string share_over_tcp(const Launch& launch,
                           const std::string& bytes,
                           std::chrono::seconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(launch.port);
  options.isServer = launch.rank == 0 && !launch.agent_serves;
  options.waitWorkers = false;
  options.timeout = timeout;
  try {
    c10d::TCPStore store(launch.address, options);
    return share(store, launch, bytes);
  } catch (const std::exception& error) {
    const std::string text = error.what();
    throw RunError({.where = launch.address + ":" + std::to_string(launch.port),
                    .what = "the ranks did not all meet: " + text.substr(0, text.find('\n')),
                    .hint = "are MASTER_ADDR and MASTER_PORT the same and reachable on all?"});
  }
}

}  // namespace dms::train
