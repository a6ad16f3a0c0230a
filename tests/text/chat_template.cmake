# Tests of chat templates, and the small program that the property test against jinja2 drives.
dms_test(dms_chat_template_test
  SOURCES
    jinja_lexer_test.cpp
    jinja_render_test.cpp
    jinja_text_test.cpp
    chat_template_test.cpp
    chat_template_golden_test.cpp
  LINKS dms_text)

add_executable(dms_jinja_cli jinja_main.cpp)
dms_target(dms_jinja_cli)
target_link_libraries(dms_jinja_cli PRIVATE dms_text)
