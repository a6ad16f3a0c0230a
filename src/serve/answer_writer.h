#pragma once
// How the chunks and answers of an AnswerForm go to a client: as they are, or in the words of
// another API (apis/). One writer a request.

#include <string>

#include "serve/sse.h"

namespace dms::serve {

class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  /// The server-sent events of the next chunk; may be none.
  virtual std::string chunk(const OutJson& chunk) = 0;
  /// Those that end the stream after its last chunk.
  virtual std::string done() = 0;
  /// Those that end it because the engine has failed.
  virtual std::string failure(const ApiError& error) = 0;
  /// The next chunk, where nothing is streamed: it tells in which order things were said.
  virtual void gather(const OutJson& chunk) = 0;
  /// The whole answer, behind its last chunk.
  virtual OutJson whole(OutJson answer) = 0;
};

/// Completions and chat completions as they are.
class CompletionWriter final : public AnswerWriter {
 public:
  std::string chunk(const OutJson& chunk) override { return sse_event(chunk); }
  std::string done() override { return std::string(kSseDone); }
  std::string failure(const ApiError& error) override { return sse_event(error.body()) + done(); }
  void gather(const OutJson&) override {}
  OutJson whole(OutJson answer) override { return answer; }
};

}  // namespace dms::serve
