#include "train/data/filter_parser.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "dms/error.h"

namespace dms::train::data {
namespace {

using Kind = FilterNode::Kind;
using NodePtr = std::unique_ptr<FilterNode>;

constexpr int kMaxDepth = 50;
constexpr size_t kMaxLength = 10'000;
constexpr std::array<std::string_view, 4> kFunctions{"len", "any", "all", "has"};
constexpr std::array<std::string_view, 4> kWords{"and", "or", "not", "in"};
// The longer ones first: "<" begins "<=".
constexpr std::array<std::string_view, 6> kComparisons{"==", "!=", "<=", ">=", "<", ">"};

bool begins_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool continues_name(char c) { return begins_name(c) || is_digit(c); }

class Parser {
 public:
  Parser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  NodePtr parse() {
    if (text_.size() > kMaxLength) fail("expression too long");
    NodePtr root = parse_or();
    if (!at_end()) fail("expected an operator or the end");
    return root;
  }

 private:
  [[noreturn]] void fail(const std::string& what) {
    skip_spaces();
    throw InputError({.where = where_ + ": column " + std::to_string(at_ + 1),
                      .what = what,
                      .got = at_ == text_.size() ? std::string("the end")
                                                 : "'" + std::string(text_.substr(at_, 20)) + "'"});
  }

  void skip_spaces() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  bool at_end() {
    skip_spaces();
    return at_ == text_.size();
  }
  char peek() { return at_end() ? '\0' : text_[at_]; }

  bool skip(std::string_view symbol) {
    skip_spaces();
    if (!text_.substr(at_).starts_with(symbol)) return false;
    at_ += symbol.size();
    return true;
  }
  void expect(std::string_view symbol) {
    if (!skip(symbol)) fail("expected '" + std::string(symbol) + "'");
  }

  /// The name at this place, without taking it; empty where none is.
  std::string_view name_ahead() {
    if (!begins_name(peek())) return {};
    size_t end = at_;
    while (end < text_.size() && continues_name(text_[end])) ++end;
    return text_.substr(at_, end - at_);
  }
  bool skip_word(std::string_view word) {
    if (name_ahead() != word) return false;
    at_ += word.size();
    return true;
  }

  static NodePtr make(Kind kind, std::vector<NodePtr> children = {}) {
    auto node = std::make_unique<FilterNode>();
    node->kind = kind;
    node->children = std::move(children);
    return node;
  }
  static NodePtr make(Json constant) {
    NodePtr node = make(Kind::constant);
    node->constant = std::move(constant);
    return node;
  }

  /// operand, or operand WORD operand WORD operand …
  NodePtr parse_chain(Kind kind, std::string_view word, NodePtr (Parser::*operand)()) {
    std::vector<NodePtr> parts;
    do parts.push_back((this->*operand)());
    while (skip_word(word));
    return parts.size() == 1 ? std::move(parts.front()) : make(kind, std::move(parts));
  }
  NodePtr parse_or() {
    if (++depth_ > kMaxDepth) fail("nested too deeply");
    NodePtr node = parse_chain(Kind::logical_or, "or", &Parser::parse_and);
    --depth_;
    return node;
  }
  NodePtr parse_and() { return parse_chain(Kind::logical_and, "and", &Parser::parse_not); }

  NodePtr parse_not() {
    bool negated = false;
    while (skip_word("not")) negated = !negated;
    NodePtr node = parse_comparison();
    if (!negated) return node;
    std::vector<NodePtr> child;
    child.push_back(std::move(node));
    return make(Kind::logical_not, std::move(child));
  }

  std::string comparison_ahead() {
    for (const std::string_view symbol : kComparisons) {
      if (skip(symbol)) return std::string(symbol);
    }
    if (skip_word("in")) return "in";
    const size_t before = at_;
    if (skip_word("not")) {
      if (skip_word("in")) return "not in";
      at_ = before;
    }
    return {};
  }

  NodePtr parse_comparison() {
    NodePtr first = parse_operand();
    std::string symbol = comparison_ahead();
    if (symbol.empty()) return first;
    NodePtr node = make(Kind::compare);
    node->children.push_back(std::move(first));
    for (; !symbol.empty(); symbol = comparison_ahead()) {
      node->operators.push_back(std::move(symbol));
      node->children.push_back(parse_operand());
    }
    return node;
  }

  NodePtr parse_operand() {
    const char c = peek();
    if (c == '"' || c == '\'') return make(Json(parse_string()));
    if (is_digit(c) || c == '-') return make(parse_number());
    if (skip("(")) {
      NodePtr node = parse_or();
      expect(")");
      return node;
    }
    if (skip("[")) return parse_list();
    const std::string_view name = name_ahead();
    if (name.empty() || std::ranges::find(kWords, name) != kWords.end()) {
      fail("expected a field or a value");
    }
    if (skip_word("true") || skip_word("True")) return make(Json(true));
    if (skip_word("false") || skip_word("False")) return make(Json(false));
    if (skip_word("null") || skip_word("None")) return make(Json());
    return parse_name();
  }

  NodePtr parse_list() {
    if (++depth_ > kMaxDepth) fail("nested too deeply");
    NodePtr node = make(Kind::list);
    while (!skip("]")) {
      if (!node->children.empty()) expect(",");
      node->children.push_back(parse_operand());
    }
    --depth_;
    return node;
  }

  std::string parse_string() {
    const char quote = text_[at_++];
    std::string value;
    while (at_ < text_.size() && text_[at_] != quote) {
      char c = text_[at_++];
      if (c == '\\' && at_ < text_.size()) {
        c = text_[at_++];
        if (c == 'n') c = '\n';
        if (c == 't') c = '\t';
      }
      value += c;
    }
    if (at_ == text_.size()) fail("unfinished text");
    ++at_;
    return value;
  }

  Json parse_number() {
    size_t end = at_ + 1;
    while (end < text_.size() && (continues_name(text_[end]) || text_[end] == '.' ||
                                  ((text_[end] == '-' || text_[end] == '+') &&
                                   (text_[end - 1] == 'e' || text_[end - 1] == 'E')))) {
      ++end;
    }
    const Json number = Json::parse(text_.substr(at_, end - at_), nullptr, false);
    if (!number.is_number()) fail("malformed number");
    at_ = end;
    return number;
  }

  NodePtr parse_name() {
    const size_t begin = at_;
    const std::string name(name_ahead());
    at_ += name.size();
    if (peek() != '(') return parse_field(name, begin);
    if (std::ranges::find(kFunctions, name) == kFunctions.end()) {
      at_ = begin;
      fail("unknown function, expected len, any, all or has");
    }
    expect("(");
    NodePtr call = make(Kind::call);
    call->name = name;
    call->children.push_back(parse_or());
    if (name == "has" && call->children.front()->kind != Kind::field) {
      fail("has() takes a field, before this");
    }
    expect(")");
    return call;
  }

  NodePtr parse_field(const std::string& first, size_t begin) {
    NodePtr field = make(Kind::field);
    field->steps.emplace_back(first);
    while (true) {
      if (skip(".")) {
        const std::string_view name = name_ahead();
        if (name.empty()) fail("expected a field's name");
        field->steps.emplace_back(std::string(name));
        at_ += name.size();
      } else if (skip("[")) {
        field->steps.push_back(parse_step());
        expect("]");
      } else {
        break;
      }
    }
    field->name = text_.substr(begin, at_ - begin);
    field->name.erase(field->name.find_last_not_of(" \t\r\n\v\f") + 1);
    return field;
  }

  Json parse_step() {
    const char c = peek();
    if (c == '"' || c == '\'') return parse_string();
    Json place = is_digit(c) ? parse_number() : Json();
    if (!place.is_number_unsigned()) fail("expected a place in a list or a quoted key");
    return place;
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

NodePtr parse_filter(std::string_view expression, const std::string& where) {
  return Parser(expression, where).parse();
}

}  // namespace dms::train::data
