#include "train/data/copy_generator.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "dms/error.h"
#include "train/data/generator_settings.h"

namespace dms::train::data {
namespace {

constexpr int64_t kMaxRepeats = 1000;

class CopyGenerator final : public Generator {
 public:
  explicit CopyGenerator(const GeneratorContext& context) : context_(context) {
    const GeneratorSettings settings(
        context, {"passage_tokens", "gap_tokens", "repeats", "max_tokens", "random_tokens"});
    const int64_t max = context.max_length;
    documents_ = settings.documents();
    seed_ = settings.seed();
    only_repeats_ = settings.loss_is("repeat");
    passage_ = settings.range("passage_tokens", {32, 128}, 2, max);
    gap_ = settings.range("gap_tokens", {0, 64}, 0, max);
    repeats_ = settings.range("repeats", {1, 1}, 1, kMaxRepeats);
    max_tokens_ = settings.fields().integer_or("max_tokens", max, 2, max);
    start_ = context.model.tokenizer.encode("", true);
    if (settings.fields().boolean_or("random_tokens", false)) {
      list_plain_tokens();
    } else {
      require_source(context);
    }
    if (passage_at_most(repeats_.last, gap_.last) >= passage_.first) return;
    throw InputError({.where = context.where + ".max_tokens",
                      .what = "too small for the shortest passage with its copies and gaps",
                      .got = std::to_string(max_tokens_)});
  }

  int64_t documents() const override { return documents_; }

  Document make(int64_t index) const override {
    Random random(seed_, "copy", index);
    const int64_t repeats = repeats_.draw(random);
    const int64_t gap = gap_.draw(random);
    const int64_t length = std::min(passage_.draw(random), passage_at_most(repeats, gap));
    const std::vector<int32_t> passage = draw(length, random);
    Document document;
    const auto append = [&](const std::vector<int32_t>& ids, bool counts) {
      document.ids.insert(document.ids.end(), ids.begin(), ids.end());
      document.loss.insert(document.loss.end(), ids.size(), counts || !only_repeats_ ? 1 : 0);
    };
    append(start_, false);
    append(passage, false);
    for (int64_t i = 0; i < repeats; ++i) {
      append(draw(gap, random), false);
      append({passage.front()}, false);
      append({passage.begin() + 1, passage.end()}, true);
    }
    if (context_.end_token) append({*context_.end_token}, false);
    return document;
  }

 private:
  /// The longest passage with which a document keeps within max_tokens.
  int64_t passage_at_most(int64_t repeats, int64_t gap) const {
    const int64_t around = std::ssize(start_) + (context_.end_token ? 1 : 0);
    return (max_tokens_ - around - repeats * gap) / (repeats + 1);
  }

  void list_plain_tokens() {
    const text::Tokenizer& tokenizer = context_.model.tokenizer;
    const auto limit = static_cast<int32_t>(std::min(tokenizer.id_limit(), context_.model.vocab));
    for (int32_t id = 0; id < limit; ++id) {
      if (tokenizer.token_text(id) != nullptr && !tokenizer.is_special(id)) plain_.push_back(id);
    }
    if (!plain_.empty()) return;
    throw InputError({.where = context_.where, .what = "the tokenizer has only special tokens"});
  }

  std::vector<int32_t> draw(int64_t count, Random& random) const {
    if (plain_.empty()) return draw_source_tokens(context_, count, random);
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i) {
      ids.push_back(plain_[static_cast<size_t>(random.below(std::ssize(plain_)))]);
    }
    return ids;
  }

  GeneratorContext context_;
  int64_t documents_ = 0;
  uint64_t seed_ = 0;
  bool only_repeats_ = false;
  Range passage_;
  Range gap_;
  Range repeats_;
  int64_t max_tokens_ = 0;
  std::vector<int32_t> start_;  // special tokens before a text
  std::vector<int32_t> plain_;  // all others, for random tokens
};

}  // namespace

std::unique_ptr<Generator> make_copy_generator(const GeneratorContext& context) {
  return std::make_unique<CopyGenerator>(context);
}

}  // namespace dms::train::data
