#include "report/shaded_text.h"

#include <algorithm>
#include <cmath>
#include <span>

#include <fmt/format.h>

#include "base/whole_characters.h"
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

/// The whole characters of each piece that is shown.
std::vector<std::string> shown_pieces(const ShadedText& text) {
  WholeCharacters characters;
  std::vector<std::string> shown;
  for (const std::string& piece : text.pieces) shown.push_back(characters.take(piece));
  if (!shown.empty()) shown.back() += characters.rest();
  shown.resize(std::min(shown.size(), text.shares.size()));
  return shown;
}

/// Neighbours of one shade are one element; what shows nothing is none.
std::string shaded(std::span<const std::string> pieces, std::span<const double> shares) {
  std::string html;
  for (size_t at = 0; at < pieces.size();) {
    const int level = level_of(shares[at]);
    std::string run;
    for (; at < pieces.size() && (pieces[at].empty() || level_of(shares[at]) == level); ++at) {
      run += pieces[at];
    }
    if (run.empty()) continue;
    html += fmt::format(R"-(<span style="background:rgba(64,132,224,{:.2f})">{}</span>)-",
                        kStrongest * level / (kLevels - 1),
                        escape_html(run));
  }
  return html;
}

}  // namespace

std::string render(const ShadedText& text) {
  const std::vector<std::string> pieces = shown_pieces(text);
  if (pieces.empty()) return "";
  const std::span<const std::string> all(pieces);
  const std::span<const double> shares(text.shares);
  constexpr size_t kHalf = kMostPieces / 2;
  std::string body;
  if (all.size() <= kMostPieces) {
    body = shaded(all, shares);
  } else {
    body = shaded(all.first(kHalf), shares);
    body += fmt::format("<p class=\"unit\">{} tokens left out</p>", all.size() - kMostPieces);
    body += shaded(all.last(kHalf), shares.subspan(all.size() - kHalf));
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
