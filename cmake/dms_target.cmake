# Settings every target of ours shares: warnings, sanitizers, include root.
function(dms_target name)
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
  target_compile_options(${name} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    $<$<BOOL:${DMS_WERROR}>:-Werror>)
  if(DMS_SANITIZE)
    # GCC's maybe-uninitialized is known to be wrong about instrumented std::optional.
    target_compile_options(${name} PUBLIC -fsanitize=${DMS_SANITIZE} -fno-omit-frame-pointer
      -fno-sanitize-recover=all $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    target_link_options(${name} PUBLIC -fsanitize=${DMS_SANITIZE})
  endif()
endfunction()

# dms_library(<name> SOURCES ... LINKS ...): one layer of the library.
function(dms_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  dms_target(${name})
  target_link_libraries(${name} PUBLIC ${arg_LINKS} PRIVATE ${arg_PRIVATE_LINKS})
endfunction()

# dms_test(<name> SOURCES ... LINKS ... [LABELS ...] [SHARDS <n>]): one test binary, one ctest entry
# per case; or n entries that share the cases out, for a program that takes long to start.
function(dms_test name)
  cmake_parse_arguments(arg "" "SHARDS" "SOURCES;LINKS;LABELS" ${ARGN})
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  add_executable(${name} ${arg_SOURCES})
  dms_target(${name})
  # It doubles the time that assertions take to compile, and is there for what they test.
  if(DMS_SANITIZE MATCHES undefined)
    target_compile_options(${name} PRIVATE -fno-sanitize=undefined)
  endif()
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${arg_LINKS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE DMS_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # Limits that end what hangs, never what is slow beside other work: the longest test takes half a
  # minute under sanitizers.
  set(hang_guard 1200)
  if(NOT arg_SHARDS)
    gtest_discover_tests(${name}
      DISCOVERY_TIMEOUT ${hang_guard} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${hang_guard})
    return()
  endif()
  math(EXPR last "${arg_SHARDS} - 1")
  foreach(shard RANGE ${last})
    add_test(NAME ${name}.${shard} COMMAND ${name})
    set_tests_properties(${name}.${shard} PROPERTIES
      LABELS "${arg_LABELS}" TIMEOUT ${hang_guard}
      ENVIRONMENT "GTEST_TOTAL_SHARDS=${arg_SHARDS};GTEST_SHARD_INDEX=${shard}")
  endforeach()
endfunction()
