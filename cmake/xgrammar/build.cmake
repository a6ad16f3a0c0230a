# Run by `cmake -P` where the library is out of date: builds it, while others that want it wait.
file(MAKE_DIRECTORY ${BUILD})
file(LOCK ${BUILD}/lock GUARD PROCESS)
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
execute_process(
  COMMAND ${CMAKE_COMMAND} -S ${RECIPE} -B ${BUILD} -G Ninja -DXGRAMMAR=${SOURCE}
    -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -DCMAKE_CXX_FLAGS=${FLAGS}
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} -j ${cores}
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(TOUCH ${BUILD}/libxgrammar.a)
