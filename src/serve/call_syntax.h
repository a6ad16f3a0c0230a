#pragma once
// How a form writes its calls, behind the tag that opens them: read character by character, so that
// what comes out cannot depend on how the text was cut.

#include <memory>
#include <string_view>

#include "serve/tool.h"

namespace dms::serve {

/// Takes what a syntax has found.
class CallSink {
 public:
  virtual ~CallSink() = default;
  /// A call of one of the tools. It is certain: nothing takes it back.
  virtual void begin_call(std::string_view name) = 0;
  /// More of the text of its arguments, a JSON object.
  virtual void add_arguments(std::string_view text) = 0;
};

class CallSyntax {
 public:
  enum class Step {
    kHeld,   // taken; it may yet turn out to be text, with what was held before it
    kTaken,  // taken; what was held belongs to a call, and is no text
    kEnd,    // as kTaken, and here the calls end
    kOver,   // not taken: what was held belongs to a call, of which there is no more
    kBad,    // not taken: here is no call, or no more; what was held is text
  };

  virtual ~CallSyntax() = default;
  /// The tag has been read, all of it; `is_bare`: there is none, and text may look like a call.
  virtual void begin(bool is_bare) = 0;
  virtual Step push(char c, CallSink& sink) = 0;
  /// The answer ends here.
  virtual void finish(CallSink& sink) = 0;
};

}  // namespace dms::serve
