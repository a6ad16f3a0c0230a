#pragma once
// What data-parallel ranks say to each other. One process needs no library; several on CPUs are
// started by mpirun and speak MPI, several on GPUs are started by torchrun or mpirun and speak
// NCCL.

#include <cstdint>
#include <memory>

#include "train/launch.h"
#include "train/torch.h"

namespace dms::train {

/// Tensors are contiguous, on the run's device or the CPU, float32, float64 or int64, except for
/// broadcast, which takes any type. Every rank makes the same calls in the same order.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int64_t rank() const = 0;
  virtual int64_t size() const = 0;
  /// Every rank gets the sum over ranks.
  virtual void all_reduce_sum(at::Tensor& tensor) = 0;
  /// `root` gets the sum over ranks; what the others hold afterwards is undefined.
  virtual void reduce_sum(at::Tensor& tensor, int64_t root) = 0;
  virtual void broadcast(at::Tensor& tensor, int64_t root) = 0;
  virtual void barrier() = 0;
};

/// The group that `launch` tells of, for a run on `device`. Throws InputError when this program was
/// built without what that needs.
std::unique_ptr<Communicator> make_communicator(const Launch& launch, at::Device device);

}  // namespace dms::train
