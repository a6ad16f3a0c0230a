#include "cli/chat_options.h"

#include "cli/declare.h"
#include "dms/error.h"

namespace dms::cli {

void add_chat_options(CLI::App& app, ChatOptions& options) {
  const OptionGroup group(app, "Chat template");
  add_text(app, "--system", options.system, "TEXT", "A system message");
  add_input_file(app,
                 "--template",
                 options.chat_template,
                 "A Jinja chat template, or 'plain'\n(default: the model's own)");
  add_values(app,
             "--template-arg",
             "KEY=VALUE ...",
             "For the template, as enable_thinking=false;\nmay be repeated",
             [&options](const std::vector<std::string>& texts) { options.template_args = texts; });
}

void refuse_chat_options(const ChatOptions& options, const std::string& needed) {
  const char* given = !options.system.empty()          ? "--system"
                      : !options.chat_template.empty() ? "--template"
                      : !options.template_args.empty() ? "--template-arg"
                                                       : nullptr;
  if (given != nullptr) throw InputError({.where = given, .what = "goes with " + needed});
}

}  // namespace dms::cli
