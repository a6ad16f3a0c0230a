#pragma once
// Ranks that mpirun started.

#include <memory>

#include "train/communicator.h"

namespace dms::train {

/// Initialises MPI; finalises it when the object goes.
std::unique_ptr<Communicator> make_mpi_communicator();

}  // namespace dms::train
