#include "train/report/html_report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include <fmt/format.h>

#include "base/output_file.h"
#include "train/report/axis.h"
#include "train/report/heatmap.h"
#include "train/report/line_chart.h"
#include "train/report/number_format.h"
#include "train/report/page_style.h"

namespace dms::train {
namespace {

using report::LineChart;
using report::Series;

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

std::string tile(const std::string& name, const std::string& value) {
  return fmt::format(R"(<div class="tile"><span>{}</span><b>{}</b></div>)", name, value);
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
  std::string html = "<div class=\"tiles\">" + tile("steps", fmt::format("{}", last.step));
  if (last.kl) {
    html += tile("loss", short_number(last.loss)) + tile("KL", short_number(*last.kl));
  }
  html += tile("LM loss", short_number(last.lm_loss));
  if (last.cr) html += tile("CR", fmt::format("{:.2f}", *last.cr));
  html += tile("tokens", short_number(tokens));
  html += tile("time in steps", short_duration(seconds));
  return html + "</div>\n";
}

std::string facts(const RunReport& run) {
  if (run.facts.empty()) return "";
  std::string html = "<section class=\"card wide\"><h2>The run</h2><table>";
  for (const auto& [name, value] : run.facts) {
    html += fmt::format(
        "<tr><th>{}</th><td>{}</td></tr>", report::escape_html(name), report::escape_html(value));
  }
  return html + "</table></section>\n";
}

}  // namespace

std::string render_report(const RunReport& run) {
  const std::string title = report::escape_html(run.title);
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<title>{}</title>\n<style>{}</style></head>\n<body><main>\n<h1>{}</h1>\n",
      title,
      report::kPageStyle,
      title);
  html += tiles(run.steps);
  html += "<div class=\"grid\">\n";
  html += run.steps.empty() ? std::string("<p class=\"empty wide\">No step was recorded.</p>\n")
                            : charts(run);
  html += report::render(run.retention);
  html += facts(run);
  return html + "</div>\n</main></body></html>\n";
}

void write_report(const std::filesystem::path& file, const RunReport& report) {
  write_text_file(file, render_report(report));
}

}  // namespace dms::train
