# Each object of an instruction set may export its table and nothing else: the linker could keep the
# AVX-512 copy of any other symbol for code that runs everywhere.
#   cmake -DNM=... -DOBJECTS="a.o;b.o" -P exported_symbols.cmake
set(checked 0)
foreach(object IN LISTS OBJECTS)
  if(NOT object MATCHES "/cpu/(avx2|avx512)/")
    continue()
  endif()
  execute_process(COMMAND ${NM} --defined-only --extern-only --demangle ${object}
    OUTPUT_VARIABLE listing RESULT_VARIABLE status)
  if(status)
    message(FATAL_ERROR "nm failed on ${object}")
  endif()
  string(REGEX MATCHALL "[^\n]+" lines "${listing}")
  list(FILTER lines EXCLUDE REGEX "__(odr_)?asan|DW\\.ref\\.")  # sanitizers' data
  list(LENGTH lines count)
  if(NOT count EQUAL 1 OR NOT lines MATCHES "dms::kernels::k[A-Za-z]+Avx(2|512)$")
    message(FATAL_ERROR "${object} exports more or less than its table:\n${listing}")
  endif()
  math(EXPR checked "${checked} + 1")
endforeach()
if(checked EQUAL 0)
  message(FATAL_ERROR "no object of an instruction set among: ${OBJECTS}")
endif()
message(STATUS "${checked} objects export one table each")
