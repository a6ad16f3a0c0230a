#include "train/communicator.h"

#include <cstdlib>
#include <string>

#include "dms/error.h"
#ifdef DMS_WITH_MPI
#include "train/mpi_communicator.h"
#endif

namespace dms::train {
namespace {

class Alone final : public Communicator {
 public:
  int64_t rank() const override { return 0; }
  int64_t size() const override { return 1; }
  void all_reduce_sum(at::Tensor&) override {}
  void reduce_sum(at::Tensor&, int64_t) override {}
  void broadcast(at::Tensor&, int64_t) override {}
  void barrier() override {}
};

/// Processes that the launcher started, by the variables of Open MPI, MPICH and Slurm's PMI.
int64_t launched_processes() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    if (const char* value = std::getenv(name)) return std::strtoll(value, nullptr, 10);
  }
  return 0;
}

}  // namespace

std::unique_ptr<Communicator> make_communicator() {
  const int64_t processes = launched_processes();
#ifdef DMS_WITH_MPI
  if (processes > 0) return make_mpi_communicator();
#endif
  if (processes > 1) {
    throw InputError({.where = "mpirun",
                      .what = "this dms-train was built without MPI",
                      .got = std::to_string(processes) + " processes",
                      .hint = "install libopenmpi-dev and configure again"});
  }
  return std::make_unique<Alone>();
}

}  // namespace dms::train
