#include "engine/prefix_cache.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace dms::engine {
namespace {

// A snapshot that goes on differently may be taken back a little: how far is the model's to say.
constexpr int64_t kMostTakenBack = 64;

int64_t common_length(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

}  // namespace

std::unique_ptr<SequenceState> CachedPrefix::fork() const {
  std::unique_ptr<SequenceState> state = snapshot->fork();
  if (state->tokens() > tokens) state->truncate(tokens);
  return state;
}

/// The ids of a node are those on the way from the root to it, its own label the last of them.
struct PrefixCache::Node {
  std::vector<int32_t> label{};
  int64_t tokens = 0;  // of all labels up to this one
  Node* parent = nullptr;
  std::map<int32_t, std::unique_ptr<Node>> children{};  // by their labels' first id
  std::unique_ptr<SequenceState> state{};               // the snapshot, where there is one
  std::list<Node*>::iterator use{};                     // its place in by_use_
};

/// How far ids lead into the tree.
struct PrefixCache::Place {
  std::vector<Node*> path;  // whole nodes, the root first
  Node* partial = nullptr;  // the node that only begins like them, where there is one
  int64_t matched = 0;      // ids that led here
};

PrefixCache::PrefixCache() = default;
PrefixCache::~PrefixCache() = default;

PrefixCache::Place PrefixCache::descend(Node& root, std::span<const int32_t> ids) const {
  Place place{.path = {&root}};
  for (;;) {
    const auto left = ids.subspan(static_cast<size_t>(place.matched));
    if (left.empty()) return place;
    const auto& children = place.path.back()->children;
    const auto found = children.find(left.front());
    if (found == children.end()) return place;
    Node& child = *found->second;
    const int64_t common = common_length(left, child.label);
    place.matched += common;
    if (common < std::ssize(child.label)) {
      place.partial = &child;
      return place;
    }
    place.path.push_back(&child);
  }
}

/// The nearest snapshot at or below `node` that can be taken back to `tokens` tokens.
PrefixCache::Node* PrefixCache::find_rollback(Node& node, int64_t tokens) {
  if (node.tokens > tokens + kMostTakenBack) return nullptr;
  if (node.state && node.state->can_truncate(tokens)) return &node;
  for (const auto& [id, child] : node.children) {
    if (Node* found = find_rollback(*child, tokens)) return found;
  }
  return nullptr;
}

CachedPrefix PrefixCache::find(const std::string& kind, std::span<const int32_t> prompt) {
  const auto root = roots_.find(kind);
  if (root == roots_.end()) return {};
  const Place place = descend(*root->second, prompt);
  // The last token is always computed: its logits are wanted.
  const int64_t usable = std::min(place.matched, std::ssize(prompt) - 1);
  Node* found = find_rollback(place.partial ? *place.partial : *place.path.back(), usable);
  int64_t tokens = found ? usable : 0;
  for (auto node = place.path.rbegin(); !found && node != place.path.rend(); ++node) {
    if (!(*node)->state || (*node)->tokens > usable) continue;
    found = *node;
    tokens = found->tokens;
  }
  CachedPrefix prefix{.known_tokens = usable};
  if (!found || tokens == 0) return prefix;
  touch(*found);
  prefix.snapshot = found->state.get();
  prefix.tokens = tokens;
  return prefix;
}

/// Cuts a node's label in two; the new node, of the first part.
PrefixCache::Node& PrefixCache::split(Node& child, size_t matched) {
  Node& parent = *child.parent;
  std::unique_ptr<Node>& place = parent.children.at(child.label.front());
  auto upper = std::make_unique<Node>();
  const auto cut = child.label.begin() + static_cast<std::ptrdiff_t>(matched);
  upper->label.assign(child.label.begin(), cut);
  upper->tokens = parent.tokens + static_cast<int64_t>(matched);
  upper->parent = &parent;
  child.label.erase(child.label.begin(), cut);
  child.parent = upper.get();
  upper->children.emplace(child.label.front(), std::move(place));
  place = std::move(upper);
  return *place;
}

void PrefixCache::insert(const std::string& kind,
                         std::span<const int32_t> ids,
                         std::unique_ptr<SequenceState> state) {
  ensure(!ids.empty() && state->tokens() == std::ssize(ids), "a snapshot of just these tokens");
  std::unique_ptr<Node>& root = roots_[kind];
  if (!root) root = std::make_unique<Node>();
  const Place place = descend(*root, ids);
  Node* node = place.path.back();
  if (place.partial) {
    node = &split(*place.partial, static_cast<size_t>(place.matched - node->tokens));
  }
  if (node->tokens < std::ssize(ids)) {
    auto leaf = std::make_unique<Node>();
    leaf->label.assign(ids.begin() + node->tokens, ids.end());
    leaf->tokens = std::ssize(ids);
    leaf->parent = node;
    node = (node->children[leaf->label.front()] = std::move(leaf)).get();
  }
  if (node->state) {
    touch(*node);
    return;
  }
  node->state = std::move(state);
  node->use = by_use_.insert(by_use_.end(), node);
}

bool PrefixCache::contains(const std::string& kind, std::span<const int32_t> ids) const {
  const auto root = roots_.find(kind);
  if (root == roots_.end()) return false;
  const Place place = descend(*root->second, ids);
  return place.matched == std::ssize(ids) && !place.partial && place.path.back()->state;
}

void PrefixCache::touch(Node& node) { by_use_.splice(by_use_.end(), by_use_, node.use); }

bool PrefixCache::drop_oldest() {
  if (by_use_.empty()) return false;
  Node* node = by_use_.front();
  by_use_.pop_front();
  node->state.reset();
  remove_if_useless(node);
  return true;
}

void PrefixCache::remove_if_useless(Node* node) {
  while (node->parent && !node->state && node->children.empty()) {
    Node* parent = node->parent;
    parent->children.erase(node->label.front());
    node = parent;
  }
}

}  // namespace dms::engine
