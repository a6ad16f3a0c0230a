// dms_tokenizer_bench TOKENIZER_JSON TEXT_FILE paragraphs|whole: encodes the text on one thread and
// prints {"seconds", "ids"}, the best of a few runs. tokenizer_bench.py sets it beside its peer.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <vector>

#include "base/input_file.h"
#include "text/tokenizer.h"

namespace {

constexpr int kRuns = 3;

std::vector<std::string_view> paragraphs(std::string_view text) {
  std::vector<std::string_view> pieces;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find("\n\n", start), text.size());
    pieces.push_back(text.substr(start, end - start));
    start = end + 2;
  }
  return pieces;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: dms_tokenizer_bench TOKENIZER_JSON TEXT_FILE paragraphs|whole\n", stderr);
    return 2;
  }
  const auto tokenizer = dms::text::Tokenizer::load(argv[1]);
  const std::string text = dms::read_text_file(argv[2], int64_t{1} << 30);
  const bool whole = std::string_view(argv[3]) == "whole";
  const auto pieces = whole ? std::vector<std::string_view>{text} : paragraphs(text);
  double best_s = 1e9;
  size_t ids = 0;
  for (int run = 0; run < kRuns; ++run) {
    ids = 0;
    const auto start = std::chrono::steady_clock::now();
    for (const std::string_view piece : pieces) ids += tokenizer.encode(piece, false).size();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best_s = std::min(best_s, took.count());
  }
  std::printf("{\"seconds\": %.6f, \"ids\": %zu}\n", best_s, ids);
  return 0;
}
