#pragma once
// A chat completion's answer as a row of parts, one after the other, each of one kind: what the
// APIs have in common that tell of thoughts, text and calls as items or blocks. Streamed and whole
// answers go the same way.

#include <cstdint>
#include <optional>
#include <string>

#include "serve/answer_writer.h"

namespace dms::serve {

struct AnswerPart {
  enum class Kind { kReasoning, kText, kCall };

  Kind kind = Kind::kText;
  int64_t index = 0;    // among the answer's parts
  std::string text{};   // so far; of a call its arguments, JSON
  std::string id{};     // of a call
  std::string name{};   // of a call's function
  bool is_cut = false;  // once closed: the answer ended early within it
};

struct AnswerEnd {
  std::string finish_reason{};  // chat completions'; empty: the engine has failed
  std::string stop_text{};      // that ended it
  OutJson usage{};              // chat completions'
};

class TranslatedAnswer : public AnswerWriter {
 public:
  std::string chunk(const OutJson& chunk) final;
  std::string done() final;
  std::string failure(const ApiError& error) final;
  void gather(const OutJson& chunk) final;
  OutJson whole(OutJson answer) final;

 protected:
  /// The answer begins; `chunk` has its id, created and model.
  virtual void begin(const OutJson& chunk) = 0;
  virtual void open(const AnswerPart& part) = 0;
  /// `piece` was added to its text.
  virtual void grow(const AnswerPart& part, const std::string& piece) = 0;
  virtual void close(const AnswerPart& part) = 0;
  virtual void end(const AnswerEnd& end) = 0;
  virtual void fail(const ApiError& error) = 0;
  /// As it is now.
  virtual OutJson answer() const = 0;

  /// An event of the stream.
  void emit(const char* type, OutJson fields);
  bool is_streamed() const { return is_streamed_; }

 private:
  void take(const OutJson& chunk);
  void take_delta(const OutJson& delta);
  void take_call(const OutJson& call);
  void add_text(AnswerPart::Kind kind, const OutJson& delta, const char* key);
  void open_part(AnswerPart part);
  void add(const std::string& piece);
  void close_part(bool is_cut);
  void finish();

  std::optional<AnswerPart> part_;  // that is open
  int64_t call_ = -1;               // the index of its call among the calls
  int64_t parts_ = 0;
  AnswerEnd end_;
  std::string events_;  // not handed out yet
  bool has_begun_ = false;
  bool is_streamed_ = true;
};

/// A number of a usage, 0 where it is not told.
int64_t count_in(const OutJson& usage, const char* key);
int64_t count_in(const OutJson& usage, const char* object, const char* key);

}  // namespace dms::serve
