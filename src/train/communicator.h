#pragma once
// What data-parallel ranks say to each other. One process needs no library; several are started by
// mpirun and speak MPI.

#include <cstdint>
#include <memory>

#include "train/torch.h"

namespace dms::train {

/// Tensors are contiguous, on the CPU, of a type MPI can add (float32, float64, int64), except for
/// broadcast, which takes any. Every rank makes the same calls in the same order.
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

/// MPI when this process was started by mpirun, else a group of one. Throws InputError when mpirun
/// started several processes and this program was built without MPI.
std::unique_ptr<Communicator> make_communicator();

}  // namespace dms::train
