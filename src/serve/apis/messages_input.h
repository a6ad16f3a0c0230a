#pragma once
// What a request of Anthropic's Messages API says: "system" and the blocks of "messages", as the
// messages of a chat completion. Results of tools are messages of their own there.

#include "serve/apis/field_names.h"
#include "serve/fields.h"

namespace dms::serve {

struct MessagesInput {
  OrderedJson messages = OrderedJson::array();
  bool ends_open = false;  // the last one is text of the assistant's, which its answer goes on with
};

/// `names` learns what each was made of. Throws ApiError.
MessagesInput read_messages_input(const Fields& body,
                                  const RequestLimits& limits,
                                  FieldNames& names);

}  // namespace dms::serve
