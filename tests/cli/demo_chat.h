#pragma once
// The demo as one who chats with it has it, for the tests of conversations.

#include <filesystem>
#include <string>

#include "cli/chat_prompt.h"
#include "dms/llm.h"
#include "support/temp_folder.h"

namespace dms::cli {

inline const std::filesystem::path kDemo =
    std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";

/// Each turn adds to the text.
inline constexpr const char* kGrowing =
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]";

/// float32, so that chunks that are cut otherwise differ by rounding alone.
inline LLM& demo_model() {
  static LLM llm(kDemo, {.dtype = "f32"});
  return llm;
}

inline ChatPrompt prompt_of(const std::string& chat_template) {
  const testing_support::TempFolder folder;
  return ChatPrompt::make(kDemo,
                          {.chat_template = folder.write("t.jinja", chat_template).string()});
}

}  // namespace dms::cli
