#include "train/communicator.h"

#include <string>
#include <utility>

#include "base/check.h"
#include "dms/error.h"
#include "train/tcp_rendezvous.h"
#ifdef DMS_WITH_MPI
#include "train/mpi_communicator.h"
#endif
#ifdef DMS_WITH_NCCL
#include "train/nccl_communicator.h"
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

[[noreturn]] void refuse(const Launch& launch, const std::string& what, const std::string& hint) {
  throw InputError({.where = launch.by == Launch::By::mpirun ? "mpirun" : "torchrun",
                    .what = what,
                    .got = std::to_string(launch.size) + " processes",
                    .hint = hint});
}

std::unique_ptr<Communicator> make_mpi([[maybe_unused]] const Launch& launch) {
#ifdef DMS_WITH_MPI
  return make_mpi_communicator();
#else
  if (launch.size == 1) return std::make_unique<Alone>();
  refuse(
      launch, "this dms-train was built without MPI", "install libopenmpi-dev and configure again");
#endif
}

#ifdef DMS_WITH_NCCL
std::unique_ptr<Communicator> make_nccl(const Launch& launch, at::Device device) {
  if (launch.by == Launch::By::torchrun) {
    return make_nccl_communicator(
        launch.rank, launch.size, device, [launch](const std::string& bytes) {
          return share_over_tcp(launch, bytes);
        });
  }
  // Kept by the function, and so as long as NCCL's communicator: it ends MPI when it goes.
  const std::shared_ptr<Communicator> mpi = make_mpi(launch);
  return make_nccl_communicator(mpi->rank(), mpi->size(), device, [mpi](std::string bytes) {
    at::Tensor held = at::from_blob(bytes.data(), {std::ssize(bytes)}, at::kByte);
    mpi->broadcast(held, 0);
    return bytes;
  });
}
#endif

}  // namespace

std::unique_ptr<Communicator> make_communicator(const Launch& launch, at::Device device) {
  if (launch.by == Launch::By::itself) return std::make_unique<Alone>();
  if (device.is_cuda()) {
#ifdef DMS_WITH_NCCL
    return make_nccl(launch, device);
#else
    refuse(launch, "this dms-train was built without NCCL", "see docs/training.md");
#endif
  }
  if (launch.by == Launch::By::mpirun) return make_mpi(launch);
  if (launch.size == 1) return std::make_unique<Alone>();
  refuse(launch, "it starts runs on GPUs only", "on CPUs: mpirun -n N dms train CONFIG");
}

}  // namespace dms::train
