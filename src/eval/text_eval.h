#pragma once
// A text through the caches of several policies: perplexity, and the divergence from the full
// cache.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/contender.h"
#include "eval/step.h"
#include "eval/store.h"
#include "eval/windows.h"

namespace dms::eval {

struct TextPlan {
  std::vector<Contender> contenders;
  std::span<const int32_t> ids{};
  std::vector<ScoreWindow> windows{};
  int64_t context = 0;  // tokens of a whole window: what a share of a text is of
  // Of each window's scored tokens so many are appended one by one, as answers are, before the rest
  // follows in chunks: that is where the speed of decoding comes from.
  int64_t decode_tokens = 0;
  bool has_reference = false;  // compare with the model's own weights under the policy none
};

/// Logits of the reference that may be held: those of one window's scored tokens.
constexpr int64_t kMaxReferenceBytes = int64_t{1} << 30;

/// Scores every window under every contender, a window at a time, so that whenever it ends all have
/// seen about the same text; what `store` has is not done again. Throws what `on_step` throws;
/// RunError on logits that are not finite.
void evaluate_text(const TextPlan& plan,
                   const ModelWith& model_with,
                   const OnStep& on_step,
                   Store& store);

/// In no order that matters.
std::vector<PlannedRecord> planned_records(const TextPlan& plan);

/// A contender's results over the windows that are done.
struct TextRow {
  std::string label;
  int64_t windows = 0;
  int64_t scored_tokens = 0;
  double nll = 0;                      // mean of -log p over scored tokens, nats
  std::optional<double> ppl_change{};  // to the base's over the same windows; 0.01: 1 % higher
  std::optional<double> kld{};         // mean over scored tokens, nats
  std::optional<double> token_match{};
  std::optional<double> before_divergence{};  // scored tokens with the reference's choice, at the
                                              // beginning of a window; mean over windows
  KvStats kv{};                               // mean over a window's scored tokens, sums over
                                              // windows; heads too
  int64_t kv_bytes = 0;                       // allocated so, most of any window
  int64_t peak_bytes = 0;                     // highest between passes
  double prefill_tok_s = 0;
  double decode_tok_s = 0;
  int64_t prompt_tokens = 0;  // of the first window
  std::vector<double>
      kept{};  // where that prompt ends, or the window behind one of a single token:
               // of each token before, the share of heads that hold it, in 35ths

  double ppl() const;
};

/// Rows of the contenders that have windows. The base of `ppl_change` is the contender `none`, or
/// the first one.
std::vector<TextRow> text_rows(const TextPlan& plan, const Store& store);

}  // namespace dms::eval
