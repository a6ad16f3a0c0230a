#include "train/report/html_report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include <fmt/format.h>

#include "base/output_file.h"
#include "report/axis.h"
#include "report/heatmap.h"
#include "report/line_chart.h"
#include "report/number_format.h"
#include "report/page.h"

namespace dms::train {
namespace {

using report::LineChart;
using report::Series;
using report::short_duration;
using report::short_number;
using report::tile;

using Field = std::function<std::optional<double>(const StepMetrics&)>;

/// NaN where a step has no such value, infinity where it has one that is not finite.
std::vector<double> values_of(const std::vector<StepMetrics>& steps, const Field& field) {
  std::vector<double> values;
  values.reserve(steps.size());
  for (const StepMetrics& step : steps) {
    const std::optional<double> value = field(step);
    values.push_back(!value                        ? std::numeric_limits<double>::quiet_NaN()
                     : report::is_drawable(*value) ? *value
                                                   : std::numeric_limits<double>::infinity());
  }
  return values;
}

/// Collects the charts of one run; a series that no step has is left out, and so is a chart of
/// none.
class Charts {
 public:
  explicit Charts(const std::vector<StepMetrics>& steps) : steps_(steps) {
    for (const StepMetrics& step : steps) numbers_.push_back(static_cast<double>(step.step));
  }

  Series series(std::string name, int colour, const Field& field, bool is_dashed = false) const {
    return {std::move(name), colour, is_dashed, values_of(steps_, field)};
  }

  void add(const char* title,
           const std::string& unit,
           bool may_be_log,
           std::vector<Series> series) {
    std::erase_if(series, [](const Series& one) {
      return std::ranges::all_of(one.values, [](double value) { return std::isnan(value); });
    });
    if (series.empty()) return;
    html_ += report::render(LineChart{title, unit, may_be_log, numbers_, std::move(series)});
  }

  const std::string& html() const { return html_; }

 private:
  const std::vector<StepMetrics>& steps_;
  std::vector<double> numbers_;
  std::string html_;
};

/// Without a teacher the loss is the language-model loss, which has a chart of its own.
bool has_kl(const std::vector<StepMetrics>& steps) {
  return std::ranges::any_of(steps, [](const StepMetrics& step) { return step.kl.has_value(); });
}

std::string charts(const RunReport& run) {
  using M = StepMetrics;
  Charts charts(run.steps);
  const auto loss = charts.series("loss", 1, [](const M& m) { return std::optional(m.loss); });
  const auto kl = charts.series("KL to the teacher", 2, [](const M& m) { return m.kl; });
  if (has_kl(run.steps)) charts.add("Loss", run.loss_unit, true, {loss, kl});
  charts.add("Language-model loss",
             "nats per token",
             false,
             {charts.series("LM loss", 1, [](const M& m) { return std::optional(m.lm_loss); })});
  charts.add("Compression ratio",
             "tokens per token kept",
             false,
             {charts.series("reached", 1, [](const M& m) { return m.cr; }),
              charts.series(
                  "target", 2, [](const M& m) { return m.target_cr; }, true)});
  charts.add("Learning rate", "", false, {charts.series("learning rate", 1, [](const M& m) {
               return std::optional(m.lr);
             })});
  charts.add("Gradient norm", "before clipping", true, {charts.series("norm", 1, [](const M& m) {
               return std::optional(m.grad_norm);
             })});
  charts.add("Speed", "tokens per second", false, {charts.series("tok/s", 1, [](const M& m) {
               return std::optional(m.tok_s);
             })});
  return charts.html();
}

/// What the run came to, in large letters.
std::string tiles(const std::vector<StepMetrics>& steps) {
  if (steps.empty()) return "";
  const StepMetrics& last = steps.back();
  double tokens = 0;
  double seconds = 0;
  for (const StepMetrics& step : steps) {
    tokens += static_cast<double>(step.tokens);
    const double step_s = static_cast<double>(step.tokens) / step.tok_s;
    if (std::isfinite(step_s)) seconds += step_s;
  }
  std::string html = tile("steps", fmt::format("{}", last.step));
  if (last.kl) {
    html += tile("loss", short_number(last.loss)) + tile("KL", short_number(*last.kl));
  }
  html += tile("LM loss", short_number(last.lm_loss));
  if (last.cr) html += tile("CR", fmt::format("{:.2f}", *last.cr));
  html += tile("tokens", short_number(tokens));
  html += tile("time in steps", short_duration(seconds));
  return html;
}

}  // namespace

std::string render_report(const RunReport& run) {
  report::Page page{.title = run.title, .tiles = tiles(run.steps)};
  page.cards = run.steps.empty()
                   ? std::string("<p class=\"empty wide\">No step was recorded.</p>\n")
                   : charts(run);
  page.cards += report::render_retention(run.retention);
  if (!run.facts.empty()) page.cards += report::table_card("The run", run.facts);
  return report::render(page);
}

void write_report(const std::filesystem::path& file, const RunReport& report) {
  write_text_file(file, render_report(report));
}

}  // namespace dms::train
