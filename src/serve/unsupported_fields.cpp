#include "serve/unsupported_fields.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace dms::serve {
namespace {

constexpr std::array kUnsupported{
    Unsupported{"suffix", "\"\"", "text is continued at its end only"},
    Unsupported{"use_beam_search", "false", ""},
    Unsupported{"min_tokens", "0", ""},
    Unsupported{"bad_words", "[]", "logit_bias of -100 keeps a token out"},
    Unsupported{"allowed_token_ids", "", ""},
    Unsupported{"include_stop_str_in_output", "false", ""},
    Unsupported{"skip_special_tokens", "true", ""},
    Unsupported{"truncate_prompt_tokens", "", "cut the prompt, or let a policy forget"},
    Unsupported{"logits_processors", "", ""},
    Unsupported{"functions", "[]", "use tools"},
    Unsupported{"audio", "", ""},
    Unsupported{"prompt_embeds", "", ""},
};

constexpr std::array kOfChat{
    Unsupported{"n", "1", "chat completions have several answers"},
    Unsupported{"logprobs", "false", "chat completions have logprobs"},
    Unsupported{"prompt_logprobs", "", "chat completions have them"},
    Unsupported{"max_completion_tokens", "", "bound the answer by this API's own field"},
    Unsupported{"response_format", "", "ask for a form by this API's own field"},
    Unsupported{"reasoning_effort", "", "ask for it by this API's own field"},
    Unsupported{"guided_json", "", "use structured_outputs"},
    Unsupported{"guided_regex", "", "use structured_outputs"},
    Unsupported{"guided_choice", "", "use structured_outputs"},
    Unsupported{"guided_grammar", "", "use structured_outputs"},
    Unsupported{"grammar", "\"\"", "use structured_outputs"},
    Unsupported{"json_schema", "", "use structured_outputs"},
    Unsupported{"id_slot", "-1", "chat completions have slots"},
};

void refuse_best_of(const Fields& body) {
  const OrderedJson* best_of = body.find("best_of");
  if (best_of == nullptr) return;
  const OrderedJson* answers = body.find("n");
  const OrderedJson one(1);
  if (*best_of == (answers != nullptr ? *answers : one)) return;
  body.refuse("best_of", *best_of, "the same as n: ask for n answers and choose among them");
}

}  // namespace

void refuse_fields(const Fields& body, std::span<const Unsupported> fields) {
  for (const Unsupported& entry : fields) {
    const OrderedJson* value = body.find(entry.field);
    if (value == nullptr) continue;
    if (!entry.neutral.empty() && *value == OrderedJson::parse(entry.neutral)) continue;
    throw ApiError::from(InputError({.field = std::string(entry.field),
                                     .what = "is not supported",
                                     .hint = std::string(entry.instead)}));
  }
}

void refuse_unsupported(const Fields& body) {
  refuse_fields(body, kUnsupported);
  refuse_best_of(body);
}

void refuse_fields_of_chat(const Fields& body) {
  refuse_unsupported(body);
  refuse_fields(body, kOfChat);
}

}  // namespace dms::serve
