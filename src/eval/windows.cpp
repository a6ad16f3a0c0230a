#include "eval/windows.h"

#include <algorithm>

#include "base/check.h"

namespace dms::eval {

std::vector<ScoreWindow> score_windows(int64_t tokens,
                                       int64_t window,
                                       int64_t stride,
                                       int64_t first) {
  ensure(stride >= 1 && stride < window, "windows overlap");
  ensure(first >= 1 && first < window, "the first window has a token to score");
  std::vector<ScoreWindow> windows;
  int64_t scored = first;
  for (int64_t begin = 0; scored < tokens; begin += stride) {
    const int64_t end = std::min(begin + window, tokens);
    windows.push_back({.begin = begin, .end = end, .first_scored = scored});
    scored = end;
  }
  return windows;
}

}  // namespace dms::eval
