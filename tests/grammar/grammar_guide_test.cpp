// One answer's guide by itself.

#include "grammar/grammar_guide.h"

#include <vector>

#include <gtest/gtest.h>

#include "grammar/guides.h"
#include "support/errors.h"
#include "support/letters.h"

namespace dms::grammar {
namespace {

using testing_support::expect_parts;
using testing_support::letter;
using testing_support::run_error;

class GuideTest : public testing::Test {
 protected:
  GuideTest() { form_.compiled = guides_->compile(form_, {}); }

  std::shared_ptr<const text::Tokenizer> tokenizer_ = testing_support::letters_tokenizer();
  std::unique_ptr<engine::GuideMaker> guides_ = make_guides(tokenizer_, 100);
  Structure form_{.kind = Structure::Kind::regex, .text = "[a-z]{9}"};
  MaskWorker worker_;
  std::vector<float> logits_ = std::vector<float>(100);
};

TEST_F(GuideTest, EndsWhereItsMasksTakeTooLong) {
  // The first mask is paid for, the second is not.
  const MaskBudget budget{.seconds = 3600, .seconds_each = -3000};
  for (const bool looks_ahead : {false, true}) {
    GrammarGuide guide(form_, {}, *tokenizer_, worker_, budget);
    EXPECT_TRUE(guide.exclude(logits_));
    guide.accept(letter('a'));
    if (looks_ahead) guide.look_ahead({});
    expect_parts(run_error([&] { guide.exclude(logits_); }),
                 {"structured answer", "takes too long"});
  }
}

}  // namespace
}  // namespace dms::grammar
