# LibTorch as it comes inside the PyTorch wheel: that of CMAKE_PREFIX_PATH, else of the checkout's
# .venv, else of the python3 that is first in PATH.
if(NOT Torch_DIR)
  foreach(python ${PROJECT_SOURCE_DIR}/.venv/bin/python python3)
    execute_process(COMMAND ${python} -c "import torch; print(torch.utils.cmake_prefix_path)"
      OUTPUT_VARIABLE torch_prefix OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status ERROR_QUIET)
    if(status EQUAL 0)
      list(APPEND CMAKE_PREFIX_PATH ${torch_prefix})
      break()
    endif()
  endforeach()
endif()
find_package(Torch 2.6 REQUIRED)

# A LibTorch with CUDA trains on GPUs, several of them by the NCCL that the wheel brings along.
if(TARGET torch_cuda)
  get_filename_component(torch_site ${TORCH_INSTALL_PREFIX} DIRECTORY)
  find_path(DMS_TRAIN_NCCL_INCLUDE nccl.h HINTS ${torch_site}/nvidia/nccl/include)
  find_library(DMS_TRAIN_NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${torch_site}/nvidia/nccl/lib)
  if(NOT DMS_TRAIN_NCCL_INCLUDE OR NOT DMS_TRAIN_NCCL_LIBRARY)
    message(WARNING "LibTorch has CUDA, but NCCL was not found: one GPU only")
  endif()
endif()
