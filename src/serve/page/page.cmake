# Puts the page together: one HTML file of its parts, as an array in the program.
set(page_styles base.css layout.css messages.css memory.css dialogs.css)
# Each after those that it imports.
set(page_scripts dom.js icons.js tex.js markdown_math.js markdown_inline.js
    markdown_blocks.js markdown.js options.js settings.js attachments.js conversation.js store.js
    api.js policies.js memory.js retention.js memory_panel.js announcer.js controls.js next_turn.js
    dialogs.js file_chips.js editor.js system_prompt.js message.js thread.js composer.js sidebar.js
    answers.js app.js)
list(TRANSFORM page_styles PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
list(TRANSFORM page_scripts PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
set(page_data ${CMAKE_CURRENT_BINARY_DIR}/page_data.cpp)
add_custom_command(
  OUTPUT ${page_data}
  COMMAND ${CMAKE_COMMAND} "-DHTML=${CMAKE_CURRENT_LIST_DIR}/page.html" "-DSTYLES=${page_styles}"
          "-DSCRIPTS=${page_scripts}" -DOUT=${page_data} -P ${CMAKE_CURRENT_LIST_DIR}/assemble.cmake
  DEPENDS ${CMAKE_CURRENT_LIST_DIR}/page.html ${CMAKE_CURRENT_LIST_DIR}/assemble.cmake
          ${page_styles} ${page_scripts}
  COMMENT "Putting the page together"
  VERBATIM)
target_sources(dms_serve PRIVATE ${page_data})
