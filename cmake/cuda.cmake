# CUDA: how kernels become objects for cards, and how the same objects run in the emulator of
# tests/cuda_emulator. CMake's own language CUDA is not used: one call of nvcc makes a kernel's object
# and the PTX that the emulator runs.
option(DMS_CUDA "Build the CUDA backend (needs nvcc: scripts/setup_cuda, or a toolkit)" OFF)
option(DMS_CUDA_EMULATOR "Test CUDA kernels without a card (needs nvcc too)" OFF)
if(NOT DMS_CUDA AND NOT DMS_CUDA_EMULATOR)
  return()
endif()

find_program(DMS_NVCC nvcc HINTS ${PROJECT_SOURCE_DIR}/build/deps/cuda/bin PATHS /usr/local/cuda/bin)
if(NOT DMS_NVCC)
  message(FATAL_ERROR "No nvcc: run scripts/setup_cuda, or set -DDMS_NVCC=…/bin/nvcc")
endif()
execute_process(COMMAND ${DMS_NVCC} --version OUTPUT_VARIABLE nvcc_version RESULT_VARIABLE status)
string(REGEX MATCH "release ([0-9.]+)" nvcc_version "${nvcc_version}")
set(nvcc_version ${CMAKE_MATCH_1})
if(NOT status EQUAL 0 OR nvcc_version VERSION_LESS 13.0)
  message(FATAL_ERROR "${DMS_NVCC} is nvcc ${nvcc_version}; 13.0 or later is needed")
endif()
message(STATUS "CUDA ${nvcc_version}: ${DMS_NVCC}")

file(REAL_PATH ${DMS_NVCC} cuda_root)
cmake_path(GET cuda_root PARENT_PATH dms_cuda_bin)
cmake_path(GET dms_cuda_bin PARENT_PATH cuda_root)
set(cuda_target ${cuda_root}/targets/${CMAKE_SYSTEM_PROCESSOR}-linux)
find_path(cuda_include cuda_runtime_api.h NO_CACHE REQUIRED HINTS ${cuda_root} ${cuda_target}
  PATH_SUFFIXES include)
add_library(dms_cuda_headers INTERFACE)
target_include_directories(dms_cuda_headers SYSTEM INTERFACE ${cuda_include})

if(DMS_CUDA)
  find_library(cuda_runtime cudart_static NO_CACHE REQUIRED HINTS ${cuda_root} ${cuda_target}
    PATH_SUFFIXES lib64 lib)
  add_library(dms_cudart INTERFACE)
  target_link_libraries(dms_cudart INTERFACE
    dms_cuda_headers ${cuda_runtime} Threads::Threads ${CMAKE_DL_LIBS} rt)

  # cuBLASLt comes with a toolkit, or as a folder of its own.
  set(DMS_CUBLASLT_DIR "" CACHE PATH "Folder that holds include/cublasLt.h and lib/libcublasLt.so*")
  find_path(cublaslt_include cublasLt.h NO_CACHE
    HINTS ${DMS_CUBLASLT_DIR} ${cuda_root} ${cuda_target} PATH_SUFFIXES include)
  find_library(cublaslt_library NAMES cublasLt libcublasLt.so.13 NO_CACHE
    HINTS ${DMS_CUBLASLT_DIR} ${cuda_root} ${cuda_target} PATH_SUFFIXES lib64 lib)
  if(cublaslt_include AND cublaslt_library)
    message(STATUS "cuBLASLt: ${cublaslt_library}")
    add_library(dms_cublaslt INTERFACE)
    target_include_directories(dms_cublaslt SYSTEM INTERFACE ${cublaslt_include})
    target_link_libraries(dms_cublaslt INTERFACE ${cublaslt_library})
  elseif(DMS_CUBLASLT_DIR)
    message(FATAL_ERROR "No include/cublasLt.h or lib/libcublasLt.so* in ${DMS_CUBLASLT_DIR}")
  else()
    message(STATUS "No cuBLASLt: own kernels multiply matrices (-DDMS_CUBLASLT_DIR=… names a folder)")
  endif()
endif()
if(DMS_CUDA_EMULATOR)
  if(NOT DMS_BUILD_TESTS)
    message(FATAL_ERROR "DMS_CUDA_EMULATOR is for tests, which DMS_BUILD_TESTS=OFF leaves out")
  endif()
  if(DMS_SANITIZE)
    message(FATAL_ERROR "The emulator switches stacks, which sanitizers do not follow")
  endif()
  set(dms_cuda_emulator ${PROJECT_SOURCE_DIR}/tests/cuda_emulator)
  # What a translation depends on.
  file(GLOB_RECURSE dms_translator CONFIGURE_DEPENDS ${dms_cuda_emulator}/*.py ${dms_cuda_emulator}/*.h)
  # Sums and products are rounded as PTX says: one rounding only where it has an fma.
  set(dms_emulated_flags -ffp-contract=off)
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64)
    list(APPEND dms_emulated_flags -mavx2 -mfma)
  endif()
endif()
if(DMS_CUDA_EMULATOR OR DMS_BUILD_TESTS)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
endif()
set(dms_cuda_scripts ${CMAKE_CURRENT_LIST_DIR}/cuda)
add_custom_target(dms_cuda_tests)  # tests and benches

# Compiles a kernel; OBJECT and PTX become the names of files: OBJECT.log holds ptxas's words, for
# tests/cuda/statics.py. *_sm90.cu uses instructions that only sm_90a has; all others are machine
# code for sm_80 and sm_90, and PTX for what comes later. The emulator is given sm_80's, or those.
function(dms_cuda_kernel kernel object ptx)
  cmake_path(GET kernel STEM LAST_ONLY stem)
  cmake_path(REMOVE_EXTENSION kernel LAST_ONLY OUTPUT_VARIABLE folder)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/${folder})
  file(MAKE_DIRECTORY ${folder})
  if(stem MATCHES "_sm90$")
    set(code -gencode=arch=compute_90a,code=sm_90a)
    set(${ptx} ${folder}/${stem}.ptx PARENT_SCOPE)
  else()
    # One PTX for machine code of 9.0 and for later: it becomes the same code, in a fifth less time.
    set(code -gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90,code=[sm_90,compute_90])
    set(${ptx} ${folder}/${stem}.compute_80.ptx PARENT_SCOPE)
  endif()
  set(keep "")
  if(DMS_CUDA_EMULATOR)
    set(keep --keep --keep-dir ${folder})
  endif()
  set(warnings "")
  if(DMS_WERROR)
    set(warnings -Werror all-warnings)
  endif()
  set(output ${folder}/${stem}.o)
  set(${object} ${output} PARENT_SCOPE)
  get_source_file_property(known ${output} GENERATED)
  if(known)  # for another program
    return()
  endif()
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -P ${dms_cuda_scripts}/run_logged.cmake ${output}.log
      ${DMS_NVCC} -ccbin ${CMAKE_CXX_COMPILER} -std=c++20 -O3 -lineinfo ${code} ${warnings}
      -Xptxas=-v -Xcompiler=-fPIC -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include
      -MD -MF ${output}.d -MT ${output} ${keep} -c ${CMAKE_CURRENT_SOURCE_DIR}/${kernel} -o ${output}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${kernel} ${dms_cuda_scripts}/run_logged.cmake
    DEPFILE ${output}.d COMMENT "Building CUDA object ${kernel}" VERBATIM)
  set_source_files_properties(${output} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
endfunction()

# Joins a kernel's object with its PTX, made C++, in one object: what launches a kernel names it by
# a string only, so that a linker would leave the code out of a program.
function(dms_cuda_emulated_kernel object ptx emulated)
  cmake_path(REMOVE_EXTENSION object LAST_ONLY OUTPUT_VARIABLE base)
  set(${emulated} ${base}.emulated.o PARENT_SCOPE)
  get_source_file_property(known ${base}.emulated.o GENERATED)
  if(known)
    return()
  endif()
  add_custom_command(OUTPUT ${base}.emulated.o
    COMMAND ${Python3_EXECUTABLE} -B ${dms_cuda_emulator}/ptx2cpp ${ptx} ${base}.ptx.cpp
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${CMAKE_CXX_COMPILER} -std=c++20 -O1 -w -fPIC
      ${dms_emulated_flags} -I${PROJECT_SOURCE_DIR}/tests -c ${base}.ptx.cpp -o ${base}.ptx.o
    COMMAND ${CMAKE_LINKER} -r ${object} ${base}.ptx.o -o ${base}.emulated.o
    DEPENDS ${object} ${dms_translator}
    COMMENT "Translating ${ptx}" VERBATIM)
  set_source_files_properties(${base}.emulated.o PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
endfunction()

# Compiles all kernels of target <name>: <name>_objects and <name>_emulated_objects become lists of
# files, and the target <name>_kernels makes them: make would run a rule of two targets twice.
macro(dms_cuda_kernels name)
  set(${name}_objects "")
  set(${name}_emulated_objects "")
  foreach(kernel ${ARGN})
    dms_cuda_kernel(${kernel} kernel_object kernel_ptx)
    list(APPEND ${name}_objects ${kernel_object})
    if(DMS_CUDA_EMULATOR)
      dms_cuda_emulated_kernel(${kernel_object} ${kernel_ptx} kernel_emulated)
      list(APPEND ${name}_emulated_objects ${kernel_emulated})
    endif()
  endforeach()
  add_custom_target(${name}_kernels DEPENDS ${${name}_objects} ${${name}_emulated_objects})
endmacro()

# dms_cuda_library(<name> KERNELS <*.cu>... SOURCES <*.cpp>... LINKS ... [CARD_SOURCES ...]
# [CARD_LINKS ...] [EMULATED_SOURCES ...]): a layer that computes on cards. <name> is the library where
# DMS_CUDA is on; <name>_emulated, where DMS_CUDA_EMULATOR is, the same for tests without a card, but
# for the sources that only one of them has.
function(dms_cuda_library name)
  cmake_parse_arguments(arg ""
    "" "KERNELS;SOURCES;LINKS;CARD_SOURCES;CARD_LINKS;EMULATED_SOURCES" ${ARGN})
  dms_cuda_kernels(${name} ${arg_KERNELS})
  set_property(GLOBAL APPEND PROPERTY DMS_CUDA_OBJECTS ${${name}_objects})
  if(DMS_CUDA)
    dms_library(${name} SOURCES ${arg_SOURCES} ${arg_CARD_SOURCES} ${${name}_objects}
      LINKS ${arg_LINKS} ${arg_CARD_LINKS} dms_cudart)
    add_dependencies(${name} ${name}_kernels)
  endif()
  if(DMS_CUDA_EMULATOR)
    dms_library(${name}_emulated
      SOURCES ${arg_SOURCES} ${arg_EMULATED_SOURCES} ${${name}_emulated_objects}
      LINKS ${arg_LINKS} dms_cudart_emulated)
    add_dependencies(${name}_emulated ${name}_kernels)
  endif()
endfunction()

# dms_cuda_program(<card> <emulated> [KERNELS <*.cu>...] SOURCES <*.cpp>... LINKS ...): a program
# compiled once and linked twice, as <card> for cards and as <emulated>; "" for neither.
function(dms_cuda_program card emulated)
  cmake_parse_arguments(arg "" "" "KERNELS;SOURCES;LINKS" ${ARGN})
  set(name ${emulated}_parts)
  dms_cuda_kernels(${name} ${arg_KERNELS})
  add_library(${name} OBJECT ${arg_SOURCES})
  dms_target(${name})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE DMS_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${arg_LINKS} dms_cuda_headers)
  if(DMS_CUDA AND card)
    add_executable(${card} $<TARGET_OBJECTS:${name}> ${${name}_objects})
    target_link_libraries(${card} PRIVATE dms_cuda ${arg_LINKS})
    add_dependencies(${card} ${name}_kernels)
    add_dependencies(dms_cuda_tests ${card})
  endif()
  if(DMS_CUDA_EMULATOR)
    add_executable(${emulated} $<TARGET_OBJECTS:${name}> ${${name}_emulated_objects})
    target_link_libraries(${emulated} PRIVATE dms_cuda_emulated ${arg_LINKS})
    add_dependencies(${emulated} ${name}_kernels)
    add_dependencies(dms_cuda_tests ${emulated})
  endif()
endfunction()

# dms_cuda_test(<name> [EMULATOR_ONLY] [TWO_MODES] [KERNELS ...] SOURCES ... LINKS ...): in the emulator
# a test runs in five modes (label cuda): the order of threads (first in, last in, random), when
# asynchronous copies land (as late as can be, at once, newest first, at random), whether streams'
# work is late, and with the search for races in shared memory. TWO_MODES, late streams and races,
# are for what launches kernels that have tests of their own.
# With DMS_CUDA also on a card, as <name>_gpu (label gpu): skipped, with the reason, without one; but
# those that ask the emulator what it counted (EMULATOR_ONLY) run nowhere else.
function(dms_cuda_test name)
  cmake_parse_arguments(arg "EMULATOR_ONLY;TWO_MODES" "" "KERNELS;SOURCES;LINKS" ${ARGN})
  set(card ${name}_gpu)
  if(arg_EMULATOR_ONLY)
    set(card "")
  endif()
  dms_cuda_program("${card}" ${name} KERNELS ${arg_KERNELS} SOURCES ${arg_SOURCES}
    LINKS ${arg_LINKS} GTest::gmock GTest::gtest_main)
  set(hang_guard 1200)
  if(TARGET ${name})
    set(modes first_late.f.l.0.0 first_eager.f.e.0.0 last_newest.l.b.0.1 random.r.r.0.0 races.f.l.1.0)
    if(arg_TWO_MODES)
      set(modes last_newest.l.b.0.1 races.f.l.1.0)
    endif()
    foreach(mode ${modes})
      string(REPLACE "." ";" mode ${mode})
      list(POP_FRONT mode mode_name order copies races late)
      add_test(NAME ${name}.${mode_name} COMMAND ${name})
      set_tests_properties(${name}.${mode_name} PROPERTIES LABELS cuda TIMEOUT ${hang_guard}
        ENVIRONMENT "CUEMU_SCHED=${order};CUEMU_ASYNC=${copies};CUEMU_RACE=${races};CUEMU_LATE=${late}")
    endforeach()
  endif()
  if(TARGET ${name}_gpu)
    gtest_discover_tests(${name}_gpu TEST_PREFIX gpu. DISCOVERY_TIMEOUT ${hang_guard}
      PROPERTIES LABELS gpu TIMEOUT ${hang_guard} RUN_SERIAL ON)
  endif()
endfunction()
