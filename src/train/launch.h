#pragma once
// How this process was started beside others, as the launcher's environment tells.

#include <cstdint>
#include <string>

namespace dms::train {

struct Launch {
  enum class By { itself, mpirun, torchrun };
  By by = By::itself;
  int64_t rank = 0;
  int64_t size = 1;
  int64_t local_rank = 0;  // among the processes of this machine
  // torchrun: where ranks meet
  std::string address{};
  int64_t port = 0;
  bool agent_serves = false;  // torchrun itself listens there, else rank 0 does
  std::string attempt{"0"};   // of torchrun, which may start ranks again
};

/// Reads torchrun's variables, else those of Open MPI, MPICH and Slurm (PMI): torchrun may itself
/// be started by mpirun or srun, on every machine once. Throws InputError naming a variable that is
/// missing or no number. Under mpirun MPI itself knows rank and size better.
Launch find_launch();

}  // namespace dms::train
