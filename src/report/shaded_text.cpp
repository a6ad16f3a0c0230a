#include "report/shaded_text.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/utf8.h"
#include "report/page.h"

namespace dms::report {
namespace {

constexpr int kLevels = 16;
constexpr size_t kMostPieces = 2400;  // about two pages
constexpr double kStrongest = 0.62;   // of the colour: text stays readable on it, in both schemes

/// By the square root: where little is kept, a little more is seen as well.
int level_of(double share) {
  return static_cast<int>(std::lround(std::sqrt(std::clamp(share, 0.0, 1.0)) * (kLevels - 1)));
}

/// Neighbours of one shade are one element.
std::string shaded(const ShadedText& text, size_t begin, size_t end) {
  std::string html;
  for (size_t at = begin; at < end;) {
    const int level = level_of(text.shares[at]);
    std::string run;
    for (; at < end && level_of(text.shares[at]) == level; ++at) run += text.pieces[at];
    html += fmt::format(R"-(<span style="background:rgba(64,132,224,{:.2f})">{}</span>)-",
                        kStrongest * level / (kLevels - 1),
                        escape_html(to_well_formed(run)));
  }
  return html;
}

}  // namespace

std::string render(const ShadedText& text) {
  if (text.pieces.empty()) return "";
  const size_t count = text.pieces.size();
  std::string body;
  if (count <= kMostPieces) {
    body = shaded(text, 0, count);
  } else {
    body = shaded(text, 0, kMostPieces / 2);
    body += fmt::format("<p class=\"unit\">{} tokens left out</p>", count - kMostPieces);
    body += shaded(text, count - kMostPieces / 2, count);
  }
  return fmt::format(
      R"(<figure class="card wide"><figcaption><h2>{}</h2><span class="unit">{}</span>)"
      R"(</figcaption><div class="shaded">{}</div></figure>)"
      "\n",
      escape_html(text.title),
      escape_html(text.unit),
      body);
}

}  // namespace dms::report
