#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "base/json.h"
#include "dms/error.h"
#include "yaml/tree.h"

namespace dms::yaml {
namespace {

constexpr size_t kMaxBytes = size_t{256} << 10;
constexpr int kMaxLevels = 32;
constexpr int64_t kMaxNodes = 20'000;
constexpr size_t kMaxKeyBytes = 200;  // a key is repeated in messages

std::string line_of(const std::string& where, const YAML::Mark& mark) {
  return mark.line < 0 ? where : where + ":" + std::to_string(mark.line + 1);
}

struct Extent {
  int64_t nodes = 0;
  int levels = 0;
};

Extent extent_of(const Node& node) {
  Extent whole{.nodes = 1, .levels = 1};
  for (const Node& child : node.children) {
    const Extent part = extent_of(child);
    whole.nodes += part.nodes;
    whole.levels = std::max(whole.levels, part.levels + 1);
  }
  return whole;
}

/// Builds the tree from yaml-cpp's events, so that what is too large is refused while it grows.
/// (Its own loader of several documents allocates without end on some malformed texts.)
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const std::string& where) : where_(where) { root_.where = where; }

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 1) return;
    throw InputError(
        {.where = line_of(where_, mark), .what = "text after the end of the YAML document"});
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    complete(new_node(Node::Kind::null, mark), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto target = anchors_.find(anchor);
    if (target == anchors_.end()) {
      throw InputError({.where = line_of(where_, mark), .what = "an alias of what holds it"});
    }
    Node copy = target->second;
    charge(copy, line_of(where_, mark));
    copy.where = line_of(where_, mark);
    attach(std::move(copy));
  }

  void OnScalar(const YAML::Mark& mark,
                const std::string& tag,
                YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(tag, mark);
    Node node = new_node(Node::Kind::scalar, mark);
    node.text = value;
    node.is_quoted = tag == "!";
    complete(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark,
                       const std::string& tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    check_tag(tag, mark);
    open(Node::Kind::sequence, mark, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark,
                  const std::string& tag,
                  YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    check_tag(tag, mark);
    open(Node::Kind::map, mark, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  /// A list or mapping that is still being filled.
  struct Open {
    Node node;
    YAML::anchor_t anchor = 0;            // 0: none
    std::optional<std::string> key = {};  // in a map: read, and waiting for its value
    std::string key_where = {};
  };

  Node new_node(Node::Kind kind, const YAML::Mark& mark) {
    Node node{.kind = kind, .where = line_of(where_, mark)};
    charge(node, node.where);
    return node;
  }

  void charge(const Node& node, const std::string& where) {
    const Extent extent = extent_of(node);
    if (std::ssize(open_) + extent.levels > kMaxLevels) {
      throw InputError({.where = where,
                        .what = "YAML nested too deeply",
                        .expected = "at most " + std::to_string(kMaxLevels) + " levels"});
    }
    nodes_ += extent.nodes;
    if (nodes_ > kMaxNodes) {
      throw InputError({.where = where,
                        .what = "YAML with too many values",
                        .expected = "at most " + std::to_string(kMaxNodes)});
    }
  }

  /// "?" and "!" are what yaml-cpp calls plain and quoted text.
  void check_tag(const std::string& tag, const YAML::Mark& mark) const {
    if (tag.empty() || tag == "?" || tag == "!") return;
    throw InputError(
        {.where = line_of(where_, mark), .what = "YAML tags have no meaning here", .got = tag});
  }

  void open(Node::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    open_.push_back({.node = new_node(kind, mark), .anchor = anchor});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    if (done.anchor != 0) remember(done.node, done.anchor);
    attach(std::move(done.node));
  }

  void complete(Node node, YAML::anchor_t anchor) {
    if (anchor != 0) remember(node, anchor);
    attach(std::move(node));
  }

  void remember(const Node& node, YAML::anchor_t anchor) {
    charge(node, node.where);
    anchors_.insert_or_assign(anchor, node);
  }

  void attach(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.is_sequence()) {
      parent.node.children.push_back(std::move(node));
    } else if (parent.key) {
      node.key = *std::exchange(parent.key, std::nullopt);
      node.where = parent.key_where;
      parent.node.children.push_back(std::move(node));
    } else {
      take_key(parent, node);
    }
  }

  static void take_key(Open& parent, const Node& node) {
    if (!node.is_scalar() || node.text.size() > kMaxKeyBytes) {
      throw InputError(
          {.where = node.where,
           .what = "bad key",
           .got = describe(node),
           .expected = "a name of at most " + std::to_string(kMaxKeyBytes) + " bytes"});
    }
    if (parent.node.find(node.text) != nullptr) {
      throw InputError({.where = node.where, .what = "key '" + node.text + "' stands here twice"});
    }
    parent.key = node.text;
    parent.key_where = node.where;
  }

  const std::string& where_;
  Node root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Node> anchors_;
  int documents_ = 0;
  int64_t nodes_ = 0;
};

/// nlohmann's serializer is strict about UTF-8, and what stands in the tree may end there.
bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(Json(text).dump());
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

}  // namespace

Node parse(const std::string& text, const std::string& where) {
  if (text.size() > kMaxBytes) {
    throw InputError({.where = where,
                      .what = "too large for a configuration",
                      .got = std::to_string(text.size()) + " bytes",
                      .expected = "at most " + std::to_string(kMaxBytes)});
  }
  if (!is_utf8(text) || text.find('\0') != std::string::npos) {
    throw InputError({.where = where, .what = "not text in UTF-8"});
  }
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    TreeBuilder builder(where);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take();
  } catch (const YAML::Exception& error) {
    throw InputError({.where = line_of(where, error.mark), .what = "malformed YAML: " + error.msg});
  }
}

}  // namespace dms::yaml
