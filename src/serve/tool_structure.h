#pragma once
// The form of answers that call tools as a request demands, in the words of a family: a structural
// tag of xgrammar's.

#include <optional>
#include <vector>

#include "dms/structure.h"
#include "serve/token_tags.h"
#include "serve/tool_form.h"
#include "serve/tool_request.h"

namespace dms::serve {

/// Nothing where the model may write what it likes: it need not call, and no function is strict, or
/// the schemas of those that are come to too long a form.
/// `thinks_first`: it holds from behind the model's thoughts, which a blank line may follow.
/// `tags`: words that are special tokens of the model's: calls have these for the form's own, and
/// text may hold them.
std::optional<Structure> tool_structure(const ToolForm& form,
                                        const ToolRequest& request,
                                        bool thinks_first,
                                        const std::vector<TokenTag>& tags = {});

}  // namespace dms::serve
