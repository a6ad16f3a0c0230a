#pragma once
// Families whose templates show functions by arguments of their own: SmolLM3's takes `xml_tools`,
// called by tags, and `python_tools`, called by code. Which one a request's `tools` become is said
// by its chat_template_kwargs; a list there is shown as it is.

#include "dms/chat.h"
#include "serve/tool_form.h"

namespace dms::serve {

/// The form that the request asks for, of the one that the template has; null where that is.
const ToolForm* asked_form(const ToolForm* form, const ChatRequest& chat);

/// What the template is to be given.
ChatRequest with_shown_tools(ChatRequest chat, const ToolForm* form);

}  // namespace dms::serve
