#pragma once
// Texts cut into words by a command of the user's, for scores that count words where no blanks
// divide them.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/filter_process.h"

namespace dms::eval {

class Segmenter {
 public:
  /// `command` reads lines and writes the words of each as a line, divided by blanks. `on_wait` and
  /// `longest_silence`: see run_filter().
  Segmenter(std::vector<std::string> command,
            std::function<void()> on_wait,
            std::chrono::milliseconds longest_silence = kPatience)
      : command_(std::move(command)),
        on_wait_(std::move(on_wait)),
        longest_silence_(longest_silence) {}

  /// The words of each text, one blank between two, by one run of the command: none where all are
  /// empty. What a text has of line breaks and other blanks is a blank to the command. Throws
  /// InputError at "--segmenter" where the command fails, or writes other lines or other text.
  std::vector<std::string> words_of(const std::vector<std::string>& texts) const;

 private:
  // Longer than the largest model of a segmenter takes to load from a slow disk.
  static constexpr std::chrono::milliseconds kPatience = std::chrono::minutes(5);

  std::vector<std::string> command_;
  std::function<void()> on_wait_;
  std::chrono::milliseconds longest_silence_;
};

}  // namespace dms::eval
