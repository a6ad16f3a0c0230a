// dms eval ppl and kld: a text through the caches of several policies.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/random.h"
#include "cli/eval_actions.h"
#include "cli/eval_policies.h"
#include "cli/eval_report.h"
#include "cli/eval_run.h"
#include "cli/options.h"
#include "cli/text_table.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int64_t kDefaultContext = 4096;

/// How the text is cut.
struct Cut {
  int64_t context;
  int64_t stride;
  int64_t first;
};

[[noreturn]] void refuse(const char* where,
                         const char* what,
                         int64_t got,
                         const std::string& expected,
                         const std::string& hint = {}) {
  throw InputError({.where = where,
                    .what = what,
                    .got = std::to_string(got),
                    .expected = expected,
                    .hint = hint});
}

int64_t row_bytes(int64_t vocab) { return vocab * static_cast<int64_t>(sizeof(float)); }

/// Rows of logits that a reference may hold.
int64_t fitting_rows(int64_t vocab) {
  return std::max<int64_t>(eval::kMaxReferenceBytes / row_bytes(vocab), 1);
}

/// `longest`: what the contenders can hold; by default all of them.
Cut cut_of(const EvalOptions& options,
           const ModelInfo& model,
           const LongestTexts& longest,
           const std::vector<eval::Contender>& contenders,
           int64_t tokens) {
  if (tokens < 2) {
    throw InputError({.where = "text",
                      .what = "too short to score",
                      .got = counted(tokens, "token"),
                      .expected = "at least 2"});
  }
  const int64_t fitting = std::min({longest.all(), model.context, kDefaultContext});
  const int64_t wanted = options.context.value_or(fitting);
  require_length(longest, contenders, wanted, "--context");
  if (options.is_filled && tokens < wanted) {
    refuse("lengths",
           "longer than the text",
           wanted,
           fmt::format("at most {}", counted(tokens, "token")),
           "a longer text, or more of its max_tokens");
  }
  const int64_t context = std::min(wanted, tokens);
  int64_t half = std::max<int64_t>(context / 2, 1);
  if (options.action == "kld") half = std::min(half, fitting_rows(model.vocab));
  const int64_t stride = options.stride.value_or(half);
  if (stride >= context) {
    refuse("--stride",
           "each window must begin inside the one before",
           stride,
           fmt::format("less than the window, {} tokens", context));
  }
  const int64_t first = options.first_scored.value_or(context - stride);
  if (first >= context) {
    refuse("--first-scored",
           "leaves nothing of the first window to score",
           first,
           fmt::format("less than the window, {} tokens", context));
  }
  return {.context = context, .stride = stride, .first = first};
}

/// How the first window comes into a cache, and the others. A first one may be scored behind a
/// single token, which no policy compresses: it says nothing, or where it is alone counts as a
/// prompt.
std::vector<AppendedText> texts_of(const Cut& cut, size_t windows, int64_t decoded) {
  std::vector<AppendedText> texts;
  const auto add = [&](int64_t prompt) {
    texts.push_back({.prompt = prompt, .decoded = decoded, .tokens = cut.context});
  };
  if (cut.first > 1) add(cut.first);
  if (windows > 1 && cut.context - cut.stride > 1) add(cut.context - cut.stride);
  if (texts.empty()) add(cut.context);
  return texts;
}

/// As many of the text's first tokens as are wanted.
std::vector<int32_t> text_ids(const EvalOptions& options,
                              const ModelSource& source,
                              const Prompt& prompt) {
  const int64_t most = options.max_tokens.value_or(kMaxTokens);
  std::vector<int32_t> ids = prompt_ids(source, prompt, options.text.no_special);
  if (std::ssize(ids) > most) ids.resize(static_cast<size_t>(most));
  return ids;
}

/// The reference's logits of a window's scored tokens are held.
void check_reference(const eval::TextPlan& plan, int64_t vocab) {
  if (!plan.has_reference) return;
  int64_t most = 0;
  for (const eval::ScoreWindow& window : plan.windows) {
    most = std::max(most, window.end - window.first_scored);
  }
  const int64_t fitting = fitting_rows(vocab);
  if (most <= fitting) return;
  refuse("--stride",
         "a window's scored tokens are more than those whose reference logits may be held",
         most,
         fmt::format("at most {} (of {} a row)", fitting, format_bytes(row_bytes(vocab))),
         "a smaller --stride, or a larger --first-scored");
}

std::string text_name(const EvalOptions& options) {
  const PromptSource& text = options.text;
  return input_name(text.text_file.empty() ? text.ids_file : text.text_file);
}

std::string checksum_of(std::span<const int32_t> ids) {
  const std::string_view bytes(reinterpret_cast<const char*>(ids.data()), ids.size_bytes());
  return fmt::format("{:016x}", stable_hash(bytes));
}

eval::Identity identity_of(const EvalOptions& options,
                           const Cut& cut,
                           std::span<const int32_t> ids) {
  eval::Identity identity = common_identity(options);
  identity.insert({{"text", checksum_of(ids)},
                   {"context", std::to_string(cut.context)},
                   {"stride", std::to_string(cut.stride)},
                   {"first_scored", std::to_string(cut.first)},
                   {"decode", std::to_string(options.decode_tokens)}});
  return identity;
}

/// What each token of the first window adds to the text; empty where the model has no tokenizer.
std::vector<std::string> pieces_of(const ModelSource& source, const eval::TextPlan& plan) {
  std::vector<std::string> pieces;
  if (!source.has_tokenizer()) return pieces;
  for (const int32_t id : plan.ids.first(static_cast<size_t>(plan.windows.front().end))) {
    const std::optional<TokenInfo> token = source.tokenizer().token(id);
    pieces.push_back(token && !token->is_special ? token->bytes : "");
  }
  return pieces;
}

OutputJson head_of(const EvalOptions& options, const eval::TextPlan& plan, const Cut& cut) {
  return {{"action", options.action},
          {"model", options.model},
          {"text", text_name(options)},
          {"tokens", std::ssize(plan.ids)},
          {"windows", std::ssize(plan.windows)},
          {"context", cut.context},
          {"stride", cut.stride},
          {"first_scored", cut.first}};
}

}  // namespace

void eval_text(const EvalOptions& options, const ReportSink& sink) {
  const Prompt prompt = read_prompt(options.text, "--text-file, --ids");
  EvalOptions seekable = options;
  seekable.cache = with_seekable_files(options.cache);
  const ModelInfo info = inspect_model(
      options.model, options.model_options.adapter, options.model_options.metadata_scope);
  eval::TextPlan plan{.contenders =
                          parse_contenders(policy_list_of(options, info, false), seekable.cache)};
  EvalModels models(options, plan.contenders);
  const SourceOf source_of = [&models](const eval::Variant& variant) -> const ModelSource& {
    return models.source(variant);
  };
  const int64_t usual = std::min(options.context.value_or(kDefaultContext), info.context);
  const LongestTexts longest = plan_contenders(source_of, plan.contenders, usual);
  const std::vector<int32_t> ids = text_ids(options, models.source(), prompt);
  const Cut cut =
      cut_of(options, models.source().info(), longest, plan.contenders, std::ssize(ids));
  plan.ids = ids;
  plan.windows = eval::score_windows(std::ssize(ids), cut.context, cut.stride, cut.first);
  check_sizes(
      plan.contenders, cut.context, texts_of(cut, plan.windows.size(), options.decode_tokens));
  plan_contenders(source_of, plan.contenders, cut.context);
  plan.context = cut.context;
  plan.decode_tokens = options.decode_tokens;
  plan.has_reference = options.action == "kld";
  check_reference(plan, models.source().info().vocab);
  eval::Store store =
      open_store(options, identity_of(seekable, cut, ids), eval::planned_records(plan));
  measure_and_report(
      [&] {
        if (options.is_recalled) return;
        EvalProgress progress(options);
        eval::evaluate_text(
            plan,
            [&](const eval::Variant& variant) -> LLM& { return models.with(variant); },
            [&](const eval::Step& step) { progress.show(step); },
            store);
      },
      [&] {
        const std::vector<eval::TextRow> rows = eval::text_rows(plan, store);
        return sink({.head = head_of(options, plan, cut),
                     .rows = text_rows_json(rows),
                     .rendered = eval::render_text(rows, pieces_of(models.source(), plan))},
                    info);
      });
}

}  // namespace dms::cli
