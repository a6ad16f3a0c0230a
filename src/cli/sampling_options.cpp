#include "cli/sampling_options.h"

#include <limits>

#include <fmt/format.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/parse.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

void add_token_choice_options(CLI::App& app, SamplingOptions& options) {
  add_value(app,
            "--temperature",
            "X",
            "0: the likeliest token (default: model's, else 0)",
            [&options](const std::string& text) {
              options.set("--temperature",
                          &SamplingParams::temperature,
                          parse_number("--temperature", text, 0, kUnbounded));
            });
  add_flag(app, "--greedy", "The same as --temperature 0", [&options] { options.be_greedy(); });
  const auto add_share = [&](const std::string& name, auto field, const std::string& help) {
    add_value(app, name, "X", help, [&options, name, field](const std::string& text) {
      options.set_of_sampling(name, field, parse_number(name, text, 0, 1));
    });
  };
  add_value(app,
            "--top-k",
            "N",
            "Keep the N likeliest tokens; 0: all",
            [&options](const std::string& text) {
              options.set_of_sampling(
                  "--top-k", &SamplingParams::top_k, parse_integer("--top-k", text, 0, kMaxTokens));
            });
  add_share("--top-p", &SamplingParams::top_p, "Keep the smallest set with this probability");
  add_share("--min-p", &SamplingParams::min_p, "Keep tokens with this share of the best one's");
  add_value(
      app, "--seed", "N", "Same seed, same text (default 0)", [&options](const std::string& text) {
        options.set("--seed", &SamplingParams::seed, parse_seed("--seed", text));
      });
}

void add_penalty_options(CLI::App& app, SamplingOptions& options) {
  add_value(app,
            "--repetition-penalty",
            "X",
            "Divides the logits of tokens seen\n(default: model's, else 1)",
            [&options](const std::string& text) {
              options.set("--repetition-penalty",
                          &SamplingParams::repetition_penalty,
                          parse_positive_number("--repetition-penalty", text));
            });
  const auto add_penalty = [&](const std::string& name, auto field, const std::string& help) {
    add_value(app, name, "X", help, [&options, name, field](const std::string& text) {
      options.set(name, field, parse_number(name, text, -kUnbounded, kUnbounded));
    });
  };
  add_penalty("--presence-penalty",
              &SamplingParams::presence_penalty,
              "Subtracted once from generated tokens");
  add_penalty(
      "--frequency-penalty", &SamplingParams::frequency_penalty, "Subtracted per occurrence");
}

void add_end_options(CLI::App& app, SamplingOptions& options) {
  add_values(app,
             "--stop",
             "TEXT",
             "End before this text; may be repeated",
             [&options](const std::vector<std::string>& texts) {
               options.set("--stop", &SamplingParams::stop, texts);
             });
  add_values(app,
             "--stop-id",
             "N",
             "End after this token; may be repeated",
             [&options](const std::vector<std::string>& texts) {
               std::vector<int32_t> ids;
               for (const std::string& text : texts) {
                 constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
                 ids.push_back(static_cast<int32_t>(parse_integer("--stop-id", text, 0, kMax)));
               }
               options.set("--stop-id", &SamplingParams::stop_ids, ids);
             });
  add_flag(app, "--ignore-eos", "Go on after end-of-sequence tokens", [&options] {
    options.set("--ignore-eos", &SamplingParams::ignore_eos, true);
  });
}

}  // namespace

void add_sampling_options(CLI::App& app, SamplingOptions& options) {
  const OptionGroup group(app, "Sampling");
  add_value(app,
            "-n,--max-new-tokens",
            "N",
            "At most N (default 128)",
            [&options](const std::string& text) {
              options.set("--max-new-tokens",
                          &SamplingParams::max_new_tokens,
                          parse_integer("--max-new-tokens", text, 0, kMaxTokens));
            });
  add_token_choice_options(app, options);
  add_penalty_options(app, options);
  add_end_options(app, options);
  add_value(app,
            "--speculate",
            "N",
            "Guess up to N tokens ahead from what the text had\nbefore; changes no text "
            "(default 0)",
            [&options](const std::string& text) {
              options.set("--speculate",
                          &SamplingParams::speculate,
                          parse_integer("--speculate", text, 0, kMostSpeculated));
            });
}

SamplingParams SamplingOptions::resolve(const SamplingParams& recommended) const {
  SamplingParams params = recommended;
  if (is_greedy_) params.temperature = 0;
  for (const auto& apply : given_) apply(params);
  if (is_greedy_ && params.temperature > 0) {
    throw InputError({.where = "--greedy",
                      .what = "contradicts --temperature",
                      .got = fmt::format("--temperature {}", params.temperature),
                      .expected = "one of them"});
  }
  if (params.temperature == 0 && !of_sampling_.empty()) {
    note(fmt::format("{}: without effect at temperature 0", fmt::join(of_sampling_, ", ")));
  }
  return params;
}

}  // namespace dms::cli
