# Sources of chat templates, relative to this folder.
set(DMS_CHAT_TEMPLATE_SOURCES
  chat_template.cpp
  chat_template_load.cpp
  jinja_access.cpp
  jinja_evaluator.cpp
  jinja_expression_parser.cpp
  jinja_filters.cpp
  jinja_format.cpp
  jinja_functions.cpp
  jinja_json.cpp
  jinja_lexer.cpp
  jinja_methods.cpp
  jinja_operators.cpp
  jinja_parser.cpp
  jinja_renderer.cpp
  jinja_runtime.cpp
  jinja_sequence_filters.cpp
  jinja_string_methods.cpp
  jinja_tests.cpp
  jinja_text.cpp
  jinja_value.cpp)

# GCC 12 reports a false overlap in every "text" + std::string (GCC bug 105651).
set_source_files_properties(${DMS_CHAT_TEMPLATE_SOURCES} PROPERTIES COMPILE_OPTIONS
  "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")
