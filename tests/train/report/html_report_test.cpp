#include "train/report/html_report.h"

#include <cmath>
#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temp_folder.h"

namespace dms::train {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

int64_t count_of(const std::string& text, const std::string& part) {
  int64_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

StepMetrics dms_step(int64_t step) {
  const double x = static_cast<double>(step);
  return {.step = step,
          .loss = 1 / x,
          .kl = 0.5 / x,
          .lm_loss = 2 + 1 / x,
          .target_fraction = 0.5,
          .fraction_closed = 0.4,
          .cr = 1 + x / 100,
          .target_cr = 1.1 + x / 100,
          .lr = 3e-5,
          .grad_norm = 0.1,
          .tok_s = 1000,
          .tokens = 4096};
}

RunReport run_of(int64_t steps) {
  RunReport run{.title = "A run"};
  for (int64_t step = 1; step <= steps; ++step) run.steps.push_back(dms_step(step));
  return run;
}

/// Every tag that is opened is closed, in order; what stands outside tags holds no stray '<'.
void expect_balanced(const std::string& html) {
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = html.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    const bool is_void = name == "!doctype" || name == "meta" || tag.ends_with('/');
    if (is_void) continue;
    if (name.front() != '/') {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << tag;
    ASSERT_EQ("/" + open.back(), name);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
}

TEST(HtmlReport, IsOnePageWithNothingFromElsewhere) {
  const std::string html = render_report(run_of(50));
  expect_balanced(html);
  for (const char* outside : {"http:", "https:", "<script", "<link", "<img", "@import", "url("}) {
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  }
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme: dark"));
}

TEST(HtmlReport, ShowsACurveForEveryFigure) {
  const std::string html = render_report(run_of(50));
  for (const char* title : {"Loss",
                            "Language-model loss",
                            "Compression ratio",
                            "Learning rate",
                            "Gradient norm",
                            "Speed"}) {
    EXPECT_THAT(html, HasSubstr(std::string("<h2>") + title + "</h2>"));
  }
  for (const char* series : {"loss", "KL to the teacher", "LM loss", "reached", "target"}) {
    EXPECT_THAT(html, HasSubstr(std::string(series) + " <b>"));
  }
  EXPECT_EQ(count_of(html, "<polyline"), 8);
  EXPECT_THAT(html, HasSubstr("target <b>1.6</b>"));
}

TEST(HtmlReport, LanguageModellingHasNoCompressionCurves) {
  RunReport run{.title = "lm"};
  run.steps = {{.step = 1, .loss = 3, .lm_loss = 3}, {.step = 2, .loss = 2, .lm_loss = 2}};
  const std::string html = render_report(run);
  expect_balanced(html);
  EXPECT_THAT(html, Not(HasSubstr("Compression ratio")));
  EXPECT_THAT(html, Not(HasSubstr("KL")));
  EXPECT_THAT(html, Not(HasSubstr("<h2>Loss</h2>")));
  EXPECT_THAT(html, Not(HasSubstr("Not finite")));
}

TEST(HtmlReport, NoStepAndOneStep) {
  const std::string none = render_report(run_of(0));
  expect_balanced(none);
  EXPECT_THAT(none, HasSubstr("No step was recorded"));
  const std::string one = render_report(run_of(1));
  expect_balanced(one);
  EXPECT_EQ(count_of(one, "<circle"), 8);
  EXPECT_EQ(count_of(one, "<polyline"), 0);
}

TEST(HtmlReport, NamesStepsThatAreNotFiniteAndNeverDrawsThem) {
  RunReport run = run_of(50);
  run.steps[19].loss = kNan;
  run.steps[29].loss = kInf;
  run.steps[39].grad_norm = 1e300;
  for (StepMetrics& step : run.steps) step.lm_loss = kNan;
  const std::string html = render_report(run);
  expect_balanced(html);
  EXPECT_THAT(html, HasSubstr("Not finite at step 20, 30."));
  EXPECT_THAT(html, HasSubstr("Not finite at step 40."));
  EXPECT_THAT(html, HasSubstr("Not finite at step 1 to 50."));
  EXPECT_THAT(html, HasSubstr("No values."));
  for (const char* text : {"=\"nan", "=\"inf", " nan", ",nan", "-nan", "inf,"}) {
    EXPECT_THAT(html, Not(HasSubstr(text)));
  }
}

TEST(HtmlReport, AFewOfManyBadStepsAreNamed) {
  RunReport run = run_of(50);
  for (size_t i = 0; i < 50; i += 2) run.steps[i].lr = kInf;
  EXPECT_THAT(render_report(run), HasSubstr("Not finite at step 1, 3, 5, 7, 9 and others."));
}

TEST(HtmlReport, ALongRunMakesNoLongPage) {
  EXPECT_LT(render_report(run_of(100'000)).size(), 300'000u);
}

TEST(HtmlReport, HeatmapHasACellForEveryHeadAndAMean) {
  RunReport run = run_of(3);
  run.retention = {{0.1, 0.3}, {0.5, kNan}, {0.0, 1.0}};
  const std::string html = render_report(run);
  expect_balanced(html);
  EXPECT_EQ(count_of(html, "class=\"cell"), 9);
  EXPECT_THAT(html, HasSubstr("layer 0, head 1: 30.0% kept"));
  EXPECT_THAT(html, HasSubstr("layer 0, mean: 20.0% kept"));
  EXPECT_THAT(html, HasSubstr("layer 1, head 1: not finite kept"));
  run.retention = {{}, {}};
  expect_balanced(render_report(run));
}

TEST(HtmlReport, HeatmapOfALargeModelFits) {
  RunReport run = run_of(3);
  run.retention.assign(128, std::vector<double>(64, 0.06));
  const std::string html = render_report(run);
  expect_balanced(html);
  EXPECT_EQ(count_of(html, "class=\"cell"), 128 * 65);
}

TEST(HtmlReport, TextIsEscaped) {
  RunReport run = run_of(1);
  run.title = "<b>&\"";
  run.facts = {{"model", "a<script>b"}, {"device", "cpu"}};
  const std::string html = render_report(run);
  expect_balanced(html);
  EXPECT_THAT(html, HasSubstr("&lt;b&gt;&amp;&quot;"));
  EXPECT_THAT(html, HasSubstr("a&lt;script&gt;b"));
  EXPECT_THAT(html, HasSubstr("<tr><th>device</th><td>cpu</td></tr>"));
}

TEST(HtmlReport, IsWrittenAsRendered) {
  const testing_support::TempFolder folder;
  const auto file = folder.path() / "report.html";
  write_report(file, run_of(2));
  EXPECT_EQ(std::filesystem::file_size(file), render_report(run_of(2)).size());
}

}  // namespace
}  // namespace dms::train
