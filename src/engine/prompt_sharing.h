#pragma once
// Which beginnings of prompts are kept, and who starts from them: of a prompt's pieces, of a whole
// prompt, and of what an answer made of it. Engine thread only.

#include <memory>
#include <span>

#include "engine/prefix_cache.h"
#include "engine/running.h"

namespace dms::engine {

class PromptSharing {
 public:
  PromptSharing(const Model& model, bool is_on, int64_t chunk_tokens);

  /// Before anything else about a request.
  void welcome(Running& running) const;

  const PrefixCache& cache() const { return cache_; }
  /// Gives memory back. False: nothing is kept.
  bool drop_oldest() { return cache_.drop_oldest(); }
  /// The same, but what `next`, first comes first, will start from stays, and goes last from now
  /// on: that of the first last of all. False: nothing else is kept.
  bool drop_unwanted(std::span<Running* const> next);

  /// Tokens of a prompt that has not begun which need not be computed; what spares them goes last
  /// from now on.
  int64_t spared_tokens(const Running& running);
  /// Before the first token of a prompt is computed: what of it is there already. False: another of
  /// `earlier`, all of them in their prompts, is about to compute more of it; better wait.
  bool begin(Running& running, std::span<Running* const> earlier);
  /// After a pass that computed `tokens` tokens of its prompt.
  void keep_piece(const Running& running, int64_t tokens);
  /// The sequence of one that is done, not to be used any more.
  void keep_answer(const Running& running, Sequence& sequence);

 private:
  bool may_share(const Running& running) const;
  bool may_start_from_prefix(const Running& running) const;
  static void start_from(Running& running, const CachedPrefix& prefix);
  std::string kind_of(const Running& running, int64_t length) const;

  const Model& model_;
  bool is_on_;
  int64_t least_tokens_;  // that are worth waiting for
  PrefixCache cache_;
};

}  // namespace dms::engine
