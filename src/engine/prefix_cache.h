#pragma once
// What earlier requests computed, for later ones with the same beginning: snapshots of sequences in
// a radix tree over their token ids, one tree for each kind of plan. A snapshot shares its pages
// with the sequence it was taken of, so it costs what that one has left behind since. The least
// recently used goes first. Engine thread only.

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/model.h"

namespace dms::engine {

/// The beginning of a prompt that need not be computed. Valid until the cache changes.
struct CachedPrefix {
  const SequenceState* snapshot = nullptr;  // null: nothing was found
  int64_t tokens = 0;                       // its first ones, which are the prompt's
  // So many of the prompt's first tokens have been computed before, though there may be no snapshot
  // of just them: one taken there would serve the next.
  int64_t known_tokens = 0;

  /// A sequence of its own to go on from. Needs a snapshot.
  std::unique_ptr<SequenceState> fork() const;
};

class PrefixCache {
 public:
  PrefixCache();
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  /// The longest beginning of `prompt`, at least one token shorter. `kind`: of its plan and
  /// whatever else must be equal.
  CachedPrefix find(const std::string& kind, std::span<const int32_t> prompt);
  /// Keeps a snapshot of `ids`, all of them computed. One that is there already stays.
  void insert(const std::string& kind,
              std::span<const int32_t> ids,
              std::unique_ptr<SequenceState> state);
  bool contains(const std::string& kind, std::span<const int32_t> ids) const;
  /// False: there is none.
  bool drop_oldest();

  int64_t size() const { return static_cast<int64_t>(by_use_.size()); }

 private:
  struct Node;
  struct Place;

  static Node* find_rollback(Node& node, int64_t tokens);
  Place descend(Node& root, std::span<const int32_t> ids) const;
  Node& split(Node& child, size_t matched);
  void touch(Node& node);
  void remove_if_useless(Node* node);

  std::map<std::string, std::unique_ptr<Node>> roots_;  // by kind
  std::list<Node*> by_use_;                             // of those with a snapshot, oldest first
};

}  // namespace dms::engine
