#pragma once
// Parts what a model thinks, between <think> and </think>, from what it says. Text comes in pieces
// whose borders may lie within a tag.

#include <string>
#include <string_view>

namespace dms::serve {

class ReasoningSplitter {
 public:
  static constexpr std::string_view kOpen = "<think>";
  static constexpr std::string_view kClose = "</think>";

  struct Parts {
    std::string reasoning;
    std::string content;
  };

  /// `begins_inside`: the prompt has opened the tag already.
  explicit ReasoningSplitter(bool begins_inside)
      : state_(begins_inside ? State::kThinking : State::kStart), drops_newlines_(begins_inside) {}

  /// What is certain with this piece. Tags are left out, and the newlines that follow them.
  Parts push(std::string_view piece);
  /// What was held back, at the end.
  Parts finish();
  bool is_thinking() const { return state_ == State::kThinking; }

 private:
  enum class State { kStart, kThinking, kContent };

  void take_start(Parts& out);
  void take_thinking(Parts& out);
  void take_content(Parts& out);
  void drop_newlines();

  State state_;
  bool drops_newlines_;
  std::string held_;
};

/// Whether a prompt leaves the model inside of its thoughts.
bool opens_reasoning(std::string_view prompt);

}  // namespace dms::serve
