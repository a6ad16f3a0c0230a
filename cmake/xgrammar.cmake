# xgrammar as a static library of its own flags: compiled once, beside its sources, for all build
# folders of one compiler. Sets dms_xgrammar: the target to link, or nothing.
set(DMS_XGRAMMAR AUTO CACHE STRING
  "Answers held to schemas and grammars: ON, OFF, or AUTO: where scripts/setup_xgrammar was run")
set_property(CACHE DMS_XGRAMMAR PROPERTY STRINGS AUTO ON OFF)
set(DMS_XGRAMMAR_SOURCE ${PROJECT_SOURCE_DIR}/build/deps/xgrammar-0.2.9 CACHE PATH
  "xgrammar's sources")

set(dms_xgrammar "")
if(DMS_XGRAMMAR STREQUAL "OFF")
  return()
endif()
if(NOT EXISTS ${DMS_XGRAMMAR_SOURCE}/NOTICE)
  if(DMS_XGRAMMAR STREQUAL "AUTO")
    message(STATUS "No xgrammar: answers are held to no schema (scripts/setup_xgrammar fetches it)")
    return()
  endif()
  message(FATAL_ERROR "No xgrammar in ${DMS_XGRAMMAR_SOURCE}: run scripts/setup_xgrammar")
endif()

# Fuzzers want to see its branches; all other builds share one without sanitizers.
set(xgrammar_flags -O2 -w -DNDEBUG)
set(xgrammar_key ${CMAKE_CXX_COMPILER_ID}-${CMAKE_CXX_COMPILER_VERSION})
if(DMS_BUILD_FUZZERS)
  list(APPEND xgrammar_flags -g1 -fsanitize=fuzzer-no-link,${DMS_SANITIZE})
  string(APPEND xgrammar_key -fuzz)
endif()
list(JOIN xgrammar_flags " " xgrammar_flags)
set(xgrammar_build ${DMS_XGRAMMAR_SOURCE}-build/${xgrammar_key})
set(xgrammar_library ${xgrammar_build}/libxgrammar.a)
set(xgrammar_recipe ${CMAKE_CURRENT_LIST_DIR}/xgrammar)
set(xgrammar_generator "Unix Makefiles")
if(CMAKE_GENERATOR MATCHES Ninja)
  set(xgrammar_generator Ninja)
endif()
add_custom_command(OUTPUT ${xgrammar_library}
  COMMAND ${CMAKE_COMMAND} -DRECIPE=${xgrammar_recipe} -DBUILD=${xgrammar_build}
    -DSOURCE=${DMS_XGRAMMAR_SOURCE} -DCOMPILER=${CMAKE_CXX_COMPILER}
    -DLAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER} -DGENERATOR=${xgrammar_generator}
    -DFLAGS=${xgrammar_flags} -P ${xgrammar_recipe}/build.cmake
  DEPENDS ${xgrammar_recipe}/CMakeLists.txt ${xgrammar_recipe}/build.cmake
  COMMENT "Building xgrammar" VERBATIM)
add_custom_target(dms_xgrammar_build DEPENDS ${xgrammar_library})

add_library(dms_xgrammar STATIC IMPORTED GLOBAL)
set_target_properties(dms_xgrammar PROPERTIES IMPORTED_LOCATION ${xgrammar_library})
target_include_directories(dms_xgrammar SYSTEM INTERFACE
  ${DMS_XGRAMMAR_SOURCE}/include ${DMS_XGRAMMAR_SOURCE}/3rdparty/dlpack/include)
add_dependencies(dms_xgrammar dms_xgrammar_build)
set(dms_xgrammar dms_xgrammar)
