# cmake -P run_logged.cmake LOG COMMAND...: what the command says goes to LOG, and is shown where it
# fails or warns.
set(command "")
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE 4 ${last})
  list(APPEND command "${CMAKE_ARGV${i}}")
endforeach()
execute_process(COMMAND ${command} OUTPUT_FILE ${CMAKE_ARGV3} ERROR_FILE ${CMAKE_ARGV3}
  RESULT_VARIABLE result)
file(READ ${CMAKE_ARGV3} said)
if(NOT result EQUAL 0 OR said MATCHES "warning")
  message("${said}")
endif()
if(NOT result EQUAL 0)
  message(FATAL_ERROR "nvcc failed")
endif()
