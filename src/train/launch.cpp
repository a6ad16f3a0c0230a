#include "train/launch.h"

#include <charconv>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string_view>

#include "dms/error.h"

namespace dms::train {
namespace {

constexpr int64_t kMostPorts = 65535;

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

int64_t number(const char* name,
               const std::string& text,
               int64_t most = std::numeric_limits<int32_t>::max()) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_whole = error == std::errc() && end == text.data() + text.size();
  if (is_whole && value >= 0 && value <= most) return value;
  throw InputError({.where = std::string("environment variable ") + name,
                    .what = "bad value",
                    .got = text,
                    .expected = "0 to " + std::to_string(most)});
}

/// The first of these variables that is set.
int64_t first_number(std::initializer_list<const char*> names, int64_t otherwise) {
  for (const char* name : names) {
    if (const auto text = variable(name)) return number(name, *text);
  }
  return otherwise;
}

std::string required(const char* name) {
  if (auto text = variable(name)) return *std::move(text);
  throw InputError({.where = std::string("environment variable ") + name,
                    .what = "missing, though WORLD_SIZE is set",
                    .hint = "torchrun sets RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and "
                            "MASTER_PORT together"});
}

Launch by_torchrun() {
  Launch launch{.by = Launch::By::torchrun,
                .rank = number("RANK", required("RANK")),
                .size = number("WORLD_SIZE", required("WORLD_SIZE")),
                .local_rank = number("LOCAL_RANK", required("LOCAL_RANK")),
                .address = required("MASTER_ADDR"),
                .port = number("MASTER_PORT", required("MASTER_PORT"), kMostPorts),
                .agent_serves = variable("TORCHELASTIC_USE_AGENT_STORE") == "True",
                .attempt = variable("TORCHELASTIC_RESTART_COUNT").value_or("0")};
  if (launch.rank < launch.size) return launch;
  throw InputError({.where = "environment variable RANK",
                    .what = "bad value",
                    .got = std::to_string(launch.rank),
                    .expected = "less than WORLD_SIZE = " + std::to_string(launch.size)});
}

}  // namespace

Launch find_launch() {
  if (variable("WORLD_SIZE") || variable("TORCHELASTIC_RUN_ID")) return by_torchrun();
  const int64_t processes = first_number({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}, 0);
  if (processes > 0) {
    return {.by = Launch::By::mpirun,
            .rank = first_number({"OMPI_COMM_WORLD_RANK", "PMI_RANK"}, 0),
            .size = processes,
            .local_rank = first_number(
                {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}, 0)};
  }
  return {};
}

}  // namespace dms::train
