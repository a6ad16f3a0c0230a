#include "report/page.h"

#include <fmt/format.h>

namespace dms::report {
namespace {

// Series colours keep apart for the colour-blind, in both schemes.
constexpr const char* kStyle = R"(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --edge: #e3e6ea; --text: #1c2127; --faint: #69717c;
  --grid: #eceef1; --axis: #b9bfc7; --warning: #b3261e;
  --series-1: #2166c4; --series-2: #d9730d; --series-3: #12805c; --series-4: #b5338a;
  --series-5: #1b9cc4; --series-6: #7a5230; --series-7: #a08a00; --series-8: #6b5bd2;
  --heat: #2166c4; --on-heat: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1c2024; --edge: #2c3238; --text: #e6e9ec; --faint: #98a1ab;
    --grid: #272c31; --axis: #4a525b; --warning: #ff8a80;
    --series-1: #6ea8fe; --series-2: #ffab5e; --series-3: #4fd1a1; --series-4: #f08acb;
    --series-5: #67d3f2; --series-6: #c9a27e; --series-7: #e3cf57; --series-8: #b0a4ff;
    --heat: #6ea8fe; --on-heat: #10151a;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
       font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 22px; font-weight: 650; margin: 0 0 16px; overflow-wrap: anywhere; }
h2 { font-size: 15px; font-weight: 600; margin: 0; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin-bottom: 16px; }
.tile { flex: 1 1 120px; padding: 10px 14px; background: var(--card); border: 1px solid var(--edge);
        border-radius: 10px; }
.tile span { display: block; color: var(--faint); font-size: 12px; }
.tile b { font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
        gap: 16px; }
.card { margin: 0; padding: 14px 16px; background: var(--card); border: 1px solid var(--edge);
        border-radius: 10px; min-width: 0; }
.wide { grid-column: 1 / -1; }
figcaption { display: flex; flex-wrap: wrap; gap: 2px 10px; align-items: baseline; }
.unit { color: var(--faint); font-size: 12px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; align-items: center; margin: 6px 0 8px;
          color: var(--faint); font-size: 12px; }
.legend b { color: var(--text); font-weight: 600; font-variant-numeric: tabular-nums; }
svg { display: block; width: 100%; height: auto; }
/* What is wider than its card scrolls, and is shaded at the side where more of it lies. */
figure.card, .scroll {
  overflow-x: auto;
  background: linear-gradient(to right, var(--card) 50%, transparent) left / 60px 100%,
              linear-gradient(to left, var(--card) 50%, transparent) right / 60px 100%,
              linear-gradient(to right, var(--axis), transparent) left / 22px 100%,
              linear-gradient(to left, var(--axis), transparent) right / 22px 100%;
  background-attachment: local, local, scroll, scroll; background-repeat: no-repeat;
  background-color: var(--card); }
/* On a phone a figure would otherwise shrink until its numbers can't be read. */
@media (max-width: 700px) { .plot { min-width: 600px; } .map { min-width: var(--width); } }
.legend svg { display: inline-block; width: 18px; height: 8px; vertical-align: middle;
              margin-right: 3px; }
.rule { stroke: var(--grid); }
.axis { stroke: var(--axis); }
.break { stroke: var(--faint); }
.tick { fill: var(--faint); font-size: 11px; font-variant-numeric: tabular-nums; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round; }
.dashed { stroke-dasharray: 5 4; }
.band { opacity: 0.16; }
.stroke-1 { stroke: var(--series-1); } .fill-1 { fill: var(--series-1); }
.stroke-2 { stroke: var(--series-2); } .fill-2 { fill: var(--series-2); }
.stroke-3 { stroke: var(--series-3); } .fill-3 { fill: var(--series-3); }
.stroke-4 { stroke: var(--series-4); } .fill-4 { fill: var(--series-4); }
.stroke-5 { stroke: var(--series-5); } .fill-5 { fill: var(--series-5); }
.stroke-6 { stroke: var(--series-6); } .fill-6 { fill: var(--series-6); }
.stroke-7 { stroke: var(--series-7); } .fill-7 { fill: var(--series-7); }
.stroke-8 { stroke: var(--series-8); } .fill-8 { fill: var(--series-8); }
.front { stroke: var(--axis); stroke-width: 5; stroke-dasharray: 1 8; opacity: 0.75; }
.name { fill: var(--text); }
.cell { fill: var(--grid); } .unknown { fill: var(--warning); fill-opacity: 0.35; }
.heat { fill: var(--heat); } .on-heat { fill: var(--on-heat); }
.ramp { width: 160px; height: 10px; border-radius: 3px;
        background: linear-gradient(to right, var(--grid), var(--heat)); }
.warning { color: var(--warning); font-size: 12px; margin: 6px 0 0; }
.empty { color: var(--faint); text-align: center; padding: 48px 0; margin: 0; }
table { border-collapse: collapse; width: 100%; margin-top: 8px; }
th, td { text-align: left; vertical-align: top; padding: 5px 0; border-top: 1px solid var(--edge);
         font-weight: 400; overflow-wrap: anywhere; }
tr:first-child > * { border-top: 0; }
th { color: var(--faint); width: min(220px, 38%); padding-right: 16px; }
.label { font-size: 11px; paint-order: stroke; stroke: var(--card);
         stroke-width: 4px; stroke-linejoin: round; }
.shaded { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; line-height: 1.6;
          margin-top: 8px; }
.data th, .data td { width: auto; padding: 5px 14px 5px 0; white-space: nowrap; }
.data .number { text-align: right; font-variant-numeric: tabular-nums; }
.part { margin: 18px 0 0; } .part h2 { font-size: 18px; }
details summary { cursor: pointer; font-weight: 600; }
.folded > .card, .maps > .card { border: 0; padding: 12px 0 0; }
.maps { display: grid; gap: 4px 24px;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 260px), 1fr)); }
.maps h2 { font-size: 13px; overflow-wrap: anywhere; }
@media print { .card, .tile { break-inside: avoid; } }
)";

}  // namespace

std::string render(const Page& page) {
  const std::string title = escape_html(page.title);
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<title>{}</title>\n<style>{}</style></head>\n<body><main>\n<h1>{}</h1>\n",
      title,
      kStyle,
      title);
  if (!page.tiles.empty()) html += "<div class=\"tiles\">" + page.tiles + "</div>\n";
  return html + "<div class=\"grid\">\n" + page.cards + "</div>\n</main></body></html>\n";
}

std::string section(const std::string& title, const std::string& note) {
  return fmt::format(R"(<header class="part wide"><h2>{}</h2><span class="unit">{}</span></header>)"
                     "\n",
                     escape_html(title),
                     escape_html(note));
}

std::string fold(const std::string& title, const std::string& cards, bool is_open) {
  if (cards.empty()) return "";
  return fmt::format(
      R"(<details class="card wide"{}><summary>{}</summary><div class="folded">{}</div></details>)"
      "\n",
      is_open ? " open" : "",
      escape_html(title),
      cards);
}

std::string group(const std::string& title, const std::string& note, const std::string& figures) {
  if (figures.empty()) return "";
  return fmt::format(
      R"(<section class="card wide"><figcaption><h2>{}</h2>)"
      R"(<span class="unit">{}</span></figcaption><div class="maps">{}</div></section>)"
      "\n",
      escape_html(title),
      escape_html(note),
      figures);
}

std::string tile(const std::string& name, const std::string& value) {
  return fmt::format(
      R"(<div class="tile"><span>{}</span><b>{}</b></div>)", escape_html(name), escape_html(value));
}

std::string table_card(const std::string& title,
                       std::span<const std::pair<std::string, std::string>> rows) {
  std::string html = "<section class=\"card wide\"><h2>" + escape_html(title) + "</h2><table>";
  for (const auto& [name, value] : rows) {
    html += fmt::format("<tr><th>{}</th><td>{}</td></tr>", escape_html(name), escape_html(value));
  }
  return html + "</table></section>\n";
}

std::string escape_html(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace dms::report
