# LibTorch as it comes inside the PyTorch wheel: that of DMS_TORCH_PYTHON, else of the checkout's .venv,
# else of the python3 that is first in PATH; or any that find_package(Torch) finds by Torch_DIR.
set(DMS_TORCH_PYTHON "" CACHE FILEPATH "Python interpreter whose torch is used")
set(DMS_TORCH_HAS_CUDA OFF)

if(NOT Torch_DIR)
  set(pythons ${PROJECT_SOURCE_DIR}/.venv/bin/python python3)
  if(DMS_TORCH_PYTHON)
    set(pythons ${DMS_TORCH_PYTHON})
  endif()
  foreach(python ${pythons})
    execute_process(
      COMMAND ${python} -c "import os, torch; print(os.path.dirname(torch.__file__)); print(torch.version.cuda or '')"
      OUTPUT_VARIABLE answer OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status ERROR_QUIET)
    if(status EQUAL 0)
      string(REPLACE "\n" ";" answer "${answer}")
      list(GET answer 0 torch_folder)
      list(LENGTH answer lines)
      if(lines GREATER 1)
        set(DMS_TORCH_HAS_CUDA ON)
      endif()
      break()
    endif()
  endforeach()
  if(DMS_TORCH_PYTHON AND NOT torch_folder)
    message(FATAL_ERROR "${DMS_TORCH_PYTHON} has no torch")
  endif()
endif()

if(NOT DMS_TORCH_HAS_CUDA)
  if(torch_folder)
    list(APPEND CMAKE_PREFIX_PATH ${torch_folder}/share/cmake)
  endif()
  find_package(Torch 2.6 REQUIRED)
  return()
endif()

# A wheel with CUDA is linked by hand: its CMake package asks for nvcc and the whole toolkit, though
# nothing here is compiled for a GPU. Headers of the runtime and NCCL come in wheels of their own.
set(TORCH_INCLUDE_DIRS ${torch_folder}/include ${torch_folder}/include/torch/csrc/api/include)
set(TORCH_LIBRARIES)
foreach(name torch torch_cpu torch_cuda c10 c10_cuda)
  list(APPEND TORCH_LIBRARIES ${torch_folder}/lib/lib${name}.so)
endforeach()
# libtorch_cuda.so registers its kernels when it is loaded; no symbol of it is named.
set(TORCH_LIBRARIES -Wl,--no-as-needed ${TORCH_LIBRARIES} -Wl,--as-needed)

get_filename_component(torch_site ${torch_folder} DIRECTORY)
file(GLOB nvidia_folders ${torch_site}/nvidia/*)
find_path(DMS_TORCH_CUDA_INCLUDE crt/host_defines.h
  HINTS ${nvidia_folders} /usr/local/cuda PATH_SUFFIXES include)
find_path(DMS_TORCH_NCCL_INCLUDE nccl.h HINTS ${nvidia_folders} PATH_SUFFIXES include)
find_library(DMS_TORCH_NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${nvidia_folders} PATH_SUFFIXES lib)
foreach(needed DMS_TORCH_CUDA_INCLUDE DMS_TORCH_NCCL_INCLUDE DMS_TORCH_NCCL_LIBRARY)
  if(NOT ${needed})
    message(FATAL_ERROR "LibTorch has CUDA, but ${needed} was not found: set it by -D${needed}=…")
  endif()
endforeach()
message(STATUS "LibTorch with CUDA: ${torch_folder}")
