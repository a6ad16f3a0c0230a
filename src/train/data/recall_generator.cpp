#include "train/data/recall_generator.h"

#include <algorithm>
#include <string>
#include <utility>

#include "dms/error.h"
#include "tasks/recall.h"
#include "train/data/generator_settings.h"

namespace dms::train::data {
namespace {

class RecallGenerator final : public Generator {
 public:
  explicit RecallGenerator(const GeneratorContext& context) : context_(context) {
    const GeneratorSettings settings(
        context,
        {"min_tokens", "max_tokens", "needles", "queries", "digits", "uuid_share", "noise_share"});
    const JsonFields& fields = settings.fields();
    const int64_t max = context.max_length;
    documents_ = settings.documents();
    seed_ = settings.seed();
    only_answers_ = settings.loss_is("answer");
    tokens_.last = fields.integer_or("max_tokens", max, 1, max);
    tokens_.first =
        fields.integer_or("min_tokens", std::min<int64_t>(256, tokens_.last), 1, tokens_.last);
    task_ = {.needles = settings.range("needles", task_.needles, 1, tasks::kMaxNeedles),
             .queries = settings.range("queries", task_.queries, 1, tasks::kMaxNeedles),
             .digits = settings.range("digits", task_.digits, 1, tasks::kMaxDigits),
             .uuid_share = fields.number_or("uuid_share", task_.uuid_share, 0.0, 1.0)};
    noise_share_ = fields.number_or("noise_share", 0.1, 0.0, 1.0);
    if (noise_share_ < 1.0) require_source(context);
  }

  int64_t documents() const override { return documents_; }

  Document make(int64_t index) const override {
    Random random(seed_, "recall", index);
    const int64_t wanted = random.log_between(tokens_.first, tokens_.last);
    const tasks::RecallTask task(task_, random);
    const auto count = [this](const std::string& text) { return std::ssize(encode(text)); };
    const int64_t bare = count(task.write({}).text);
    if (bare > tokens_.last) throw_too_small(bare);
    const int64_t limit = std::max(wanted, bare);
    return finish(task.write_within(limit, draw_filler(limit, random), count));
  }

 private:
  [[noreturn]] void throw_too_small(int64_t bare) const {
    throw InputError({.where = context_.where + ".max_tokens",
                      .what = "too small for this many needles and queries",
                      .got = std::to_string(tokens_.last),
                      .expected = "at least " + std::to_string(bare)});
  }

  std::string draw_filler(int64_t tokens, Random& random) const {
    const text::Tokenizer& tokenizer = context_.model.tokenizer;
    if (!random.chance(noise_share_)) {
      return tokenizer.decode(draw_source_tokens(context_, tokens, random), true);
    }
    const int64_t tokens_each = std::ssize(tokenizer.encode(tasks::kRecallNoise, false));
    std::string text;
    for (int64_t i = 0; i < tokens; i += tokens_each) text += tasks::kRecallNoise;
    return text;
  }

  std::vector<int32_t> encode(const std::string& text) const {
    std::vector<int32_t> ids = encode_text(context_.model.tokenizer, text).ids;
    if (context_.end_token) ids.push_back(*context_.end_token);
    return ids;
  }

  Document finish(const tasks::WrittenRecall& written) const {
    Document document{.ids = encode(written.text), .loss = {}};
    if (only_answers_) {
      document.loss = encode_text(context_.model.tokenizer, written.text, written.answers).loss;
      document.loss.resize(document.ids.size());  // the end token does not count
    }
    return document;
  }

  GeneratorContext context_;
  int64_t documents_ = 0;
  uint64_t seed_ = 0;
  bool only_answers_ = false;
  Range tokens_;
  tasks::RecallSettings task_;
  double noise_share_ = 0.0;
};

}  // namespace

std::unique_ptr<Generator> make_recall_generator(const GeneratorContext& context) {
  return std::make_unique<RecallGenerator>(context);
}

}  // namespace dms::train::data
