#include "cli/flags.h"

#include <algorithm>
#include <array>

namespace dms::cli {
namespace {

struct Flag {
  std::string_view field;
  std::string_view option;
};

constexpr std::array kFlags{
    Flag{"adapter", "--adapter"},
    Flag{"arguments", "--template-arg"},
    Flag{"calibration_text", "--calibrate"},
    Flag{"calibration_tokens", "--calibrate-tokens"},
    Flag{"chunk_tokens", "--chunk"},
    Flag{"decisions_file", "--decisions"},
    Flag{"device", "--device"},
    Flag{"draft", "--draft"},
    Flag{"dtype", "--dtype"},
    Flag{"frequency_penalty", "--frequency-penalty"},
    Flag{"hidden_units", "--hidden"},
    Flag{"ignore_eos", "--ignore-eos"},
    Flag{"kv_dtype", "--kv-dtype"},
    Flag{"kv_exact_layers", "--kv-exact-layers"},
    Flag{"kv_memory_bytes", "--kv-memory"},
    Flag{"length", "--lengths"},
    Flag{"max_new_tokens", "--max-new-tokens"},
    Flag{"max_sequences", "--max-sequences"},
    Flag{"max_step_tokens", "--max-batch-tokens"},
    Flag{"min_p", "--min-p"},
    Flag{"policy", "--policy"},
    Flag{"policy_args", "--policy-args"},
    Flag{"preallocate_tokens", "--preallocate"},
    Flag{"presence_penalty", "--presence-penalty"},
    Flag{"ratio", "--ratio"},
    Flag{"repetition_penalty", "--repetition-penalty"},
    Flag{"seed", "--seed"},
    Flag{"sinks", "--n-sink"},
    Flag{"speculate", "--speculate"},
    Flag{"stop", "--stop"},
    Flag{"stop_ids", "--stop-id"},
    Flag{"tasks", "--tasks"},
    Flag{"temperature", "--temperature"},
    Flag{"text", "--text"},
    Flag{"threads", "--threads"},
    Flag{"tokens", "--tokens"},
    Flag{"tool_parser", "--tool-parser"},
    Flag{"top_k", "--top-k"},
    Flag{"top_p", "--top-p"},
    Flag{"weights", "--weights"},
    Flag{"window_tokens", "--window"},
};

constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

std::string_view option_of(std::string_view field) {
  const auto* flag = std::ranges::find(kFlags, field, &Flag::field);
  return flag == kFlags.end() ? std::string_view() : flag->option;
}

/// "policy_args.cr" to "--policy-args: cr".
std::string place_in_flags(const std::string& field) {
  const size_t dot = std::min(field.find('.'), field.size());
  const std::string_view option = option_of(std::string_view(field).substr(0, dot));
  if (option.empty()) return field;
  return std::string(option) + (dot < field.size() ? ": " + field.substr(dot + 1) : "");
}

/// A part of a path, of a longer name or of a policy's label is not meant.
bool stands_alone(std::string_view text, size_t begin, size_t end) {
  constexpr std::string_view kJoining = "/.-:";
  return (begin == 0 || kJoining.find(text[begin - 1]) == std::string_view::npos) &&
         (end == text.size() || text[end] != '/');
}

}  // namespace

std::string in_flags(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = std::min(text.find_first_of(kNameCharacters, at), text.size());
    const size_t end = std::min(text.find_first_not_of(kNameCharacters, begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    const std::string_view option = option_of(word);
    const bool is_meant = !option.empty() && word.find('_') != std::string_view::npos &&
                          stands_alone(text, begin, end);
    out += text.substr(at, begin - at);
    out += is_meant ? option : word;
    at = end;
  }
  return out;
}

std::string in_flags(const Error& error) {
  ErrorParts parts = error.parts();
  parts.field = place_in_flags(parts.field);
  parts.what = in_flags(parts.what);
  parts.expected = in_flags(parts.expected);
  parts.hint = in_flags(parts.hint);
  return InputError(parts).what();
}

}  // namespace dms::cli
