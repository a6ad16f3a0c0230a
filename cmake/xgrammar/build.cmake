# Run by `cmake -P` where the library is out of date: builds it, while others that want it wait.
file(MAKE_DIRECTORY ${BUILD})
file(LOCK ${BUILD}/lock GUARD PROCESS)
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)

# What it says is of use where it fails.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(NOT result EQUAL 0)
    message("${said}")
    message(FATAL_ERROR "xgrammar cannot be built in ${BUILD}")
  endif()
endfunction()

# Afresh: the folder may have been moved, or made with another generator.
run(${CMAKE_COMMAND} --fresh -S ${RECIPE} -B ${BUILD} -G ${GENERATOR} -DXGRAMMAR=${SOURCE}
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -DCMAKE_CXX_FLAGS=${FLAGS})
run(${CMAKE_COMMAND} --build ${BUILD} -j ${cores})
file(TOUCH ${BUILD}/libxgrammar.a)
