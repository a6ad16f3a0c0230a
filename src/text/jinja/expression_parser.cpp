#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace dms::text::jinja {
namespace {

using Kind = Expr::Kind;

/// Real templates stay below 40; the limit bounds the recursion of parser and renderer.
constexpr int kMaxTreeDepth = 120;

std::string describe(const Token& token) {
  switch (token.kind) {
    case Token::Kind::kText:
      return "text";
    case Token::Kind::kVariableBegin:
      return "'{{'";
    case Token::Kind::kVariableEnd:
      return "'}}'";
    case Token::Kind::kBlockBegin:
      return "'{%'";
    case Token::Kind::kBlockEnd:
      return "'%}'";
    case Token::Kind::kString:
      return "a string";
    default:
      return "'" + token.text + "'";
  }
}

std::vector<ExprPtr> list_of(ExprPtr a, ExprPtr b = nullptr) {
  std::vector<ExprPtr> list;
  list.push_back(std::move(a));
  if (b) list.push_back(std::move(b));
  return list;
}

}  // namespace

bool ExpressionParser::is_operator(std::string_view text) const {
  return is(TokenKind::kOperator) && current().text == text;
}
bool ExpressionParser::is_name(std::string_view text) const {
  return is(TokenKind::kName) && current().text == text;
}
const Token& ExpressionParser::next() {
  const Token& token = current();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}
bool ExpressionParser::skip_operator(std::string_view text) {
  const bool here = is_operator(text);
  if (here) next();
  return here;
}
bool ExpressionParser::skip_name(std::string_view text) {
  const bool here = is_name(text);
  if (here) next();
  return here;
}
void ExpressionParser::expect_operator(std::string_view text) {
  if (!skip_operator(text)) unexpected("'" + std::string(text) + "'");
}
std::string ExpressionParser::expect_name() {
  if (!is(TokenKind::kName)) unexpected("a name");
  return next().text;
}
void ExpressionParser::fail(const std::string& what) const { origin_.fail(current().place, what); }
void ExpressionParser::unexpected(const std::string& expected) const {
  const std::string here =
      is(TokenKind::kEnd) ? "the end of the " + origin_.kind() : describe(current());
  fail("unexpected " + here + ", expected " + expected);
}

void ExpressionParser::check_depth(int depth) const {
  if (depth > kMaxTreeDepth) fail("expression nested too deeply");
}

ExprPtr ExpressionParser::make(Kind kind, std::vector<ExprPtr> children, std::string name) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  const bool begins_with_child = !children.empty() && children.front() != nullptr;
  node->place = begins_with_child ? children.front()->place : tokens_[at_ > 0 ? at_ - 1 : 0].place;
  node->name = std::move(name);
  for (const ExprPtr& child : children) {
    if (child) node->depth = std::max(node->depth, child->depth + 1);
  }
  check_depth(node->depth);
  node->children = std::move(children);
  return node;
}

ExprPtr ExpressionParser::with_arguments(ExprPtr node, std::vector<Argument> arguments) const {
  for (const Argument& argument : arguments) {
    node->depth = std::max(node->depth, argument.value->depth + 1);
  }
  check_depth(node->depth);
  node->arguments = std::move(arguments);
  return node;
}

ExprPtr ExpressionParser::parse_expression(Condition inline_if) {
  check_depth(++nesting_);
  ExprPtr node = inline_if == Condition::kAllowed ? parse_conditional() : parse_or();
  --nesting_;
  return node;
}

ExprPtr ExpressionParser::parse_conditional() {
  ExprPtr node = parse_or();
  while (skip_name("if")) {
    ExprPtr condition = parse_or();
    ExprPtr otherwise;
    if (skip_name("else")) otherwise = parse_expression();
    std::vector<ExprPtr> children = list_of(std::move(condition), std::move(node));
    children.push_back(std::move(otherwise));
    node = make(Kind::kConditional, std::move(children));
  }
  return node;
}

ExprPtr ExpressionParser::parse_or() {
  std::vector<ExprPtr> parts = list_of(parse_and());
  while (skip_name("or")) parts.push_back(parse_and());
  return parts.size() == 1 ? std::move(parts[0]) : make(Kind::kOr, std::move(parts));
}

ExprPtr ExpressionParser::parse_and() {
  std::vector<ExprPtr> parts = list_of(parse_not());
  while (skip_name("and")) parts.push_back(parse_not());
  return parts.size() == 1 ? std::move(parts[0]) : make(Kind::kAnd, std::move(parts));
}

ExprPtr ExpressionParser::parse_not() {
  if (!skip_name("not")) return parse_compare();
  check_depth(++nesting_);
  ExprPtr operand = parse_not();
  --nesting_;
  return make(Kind::kNot, list_of(std::move(operand)));
}

ExprPtr ExpressionParser::parse_compare() {
  constexpr std::array<std::string_view, 6> kOperators{"==", "!=", "<", "<=", ">", ">="};
  std::vector<ExprPtr> operands = list_of(parse_sum());
  std::vector<std::string> operators;
  while (true) {
    if (is(TokenKind::kOperator) && std::ranges::count(kOperators, current().text) > 0) {
      operators.push_back(next().text);
    } else if (skip_name("in")) {
      operators.push_back("in");
    } else if (is_name("not") && ahead().kind == TokenKind::kName && ahead().text == "in") {
      next();
      next();
      operators.push_back("not in");
    } else {
      break;
    }
    operands.push_back(parse_sum());
  }
  if (operators.empty()) return std::move(operands[0]);
  ExprPtr node = make(Kind::kCompare, std::move(operands));
  node->names = std::move(operators);
  return node;
}

ExprPtr ExpressionParser::parse_left(Level operand,
                                     std::initializer_list<std::string_view> operators) {
  ExprPtr left = (this->*operand)();
  while (is(TokenKind::kOperator) && std::ranges::count(operators, current().text) > 0) {
    std::string name = next().text;
    left = make(Kind::kBinary, list_of(std::move(left), (this->*operand)()), std::move(name));
  }
  return left;
}

ExprPtr ExpressionParser::parse_sum() {
  return parse_left(&ExpressionParser::parse_concat, {"+", "-"});
}

ExprPtr ExpressionParser::parse_concat() {
  std::vector<ExprPtr> parts = list_of(parse_product());
  while (skip_operator("~")) parts.push_back(parse_product());
  return parts.size() == 1 ? std::move(parts[0]) : make(Kind::kConcat, std::move(parts));
}

ExprPtr ExpressionParser::parse_product() {
  return parse_left(&ExpressionParser::parse_power, {"*", "/", "//", "%"});
}

ExprPtr ExpressionParser::parse_power() {
  return parse_left(&ExpressionParser::parse_unary, {"**"});
}

ExprPtr ExpressionParser::parse_unary(bool with_filters) {
  ExprPtr node;
  if (is_operator("-") || is_operator("+")) {
    std::string name = next().text;
    check_depth(++nesting_);
    ExprPtr operand = parse_unary(false);
    --nesting_;
    node = make(Kind::kUnary, list_of(std::move(operand)), std::move(name));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  if (!with_filters) return node;
  while (true) {
    if (is_operator("|")) {
      node = parse_filters(std::move(node), false);
    } else if (skip_name("is")) {
      node = parse_test(std::move(node));
    } else if (is_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::parse_primary() {
  if (is(TokenKind::kName)) return parse_name();
  if (is(TokenKind::kString)) return parse_strings();
  if (is(TokenKind::kInteger) || is(TokenKind::kFloat)) {
    const Token& token = next();
    ExprPtr node = make(Kind::kConstant);
    node->constant = token.kind == TokenKind::kInteger ? Value(token.integer) : Value(token.number);
    return node;
  }
  if (is_operator("(")) return parse_parentheses();
  if (is_operator("[")) return parse_list();
  if (is_operator("{")) return parse_dict();
  unexpected("an expression");
}

void ExpressionParser::note_special(const std::string& name) {
  for (SpecialNames& macro : open_macros_) {
    macro.caller |= name == "caller";
    macro.varargs |= name == "varargs";
    macro.kwargs |= name == "kwargs";
  }
}

ExprPtr ExpressionParser::parse_name() {
  const std::string& name = next().text;
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    ExprPtr node = make(Kind::kConstant);
    node->constant = Value(name == "true" || name == "True");
    return node;
  }
  if (name == "none" || name == "None") {
    ExprPtr node = make(Kind::kConstant);
    node->constant = Value(None{});
    return node;
  }
  note_special(name);
  return make(Kind::kName, {}, name);
}

ExprPtr ExpressionParser::parse_strings() {
  std::string text = next().text;
  ExprPtr node = make(Kind::kConstant);
  while (is(TokenKind::kString)) text += next().text;
  node->constant = Value(std::move(text));
  return node;
}

ExprPtr ExpressionParser::parse_parentheses() {
  expect_operator("(");
  ExprPtr node = is_operator(")") ? make(Kind::kTuple) : parse_tuple();
  expect_operator(")");
  return node;
}

bool ExpressionParser::ends_tuple(std::string_view end) const {
  return is(TokenKind::kVariableEnd) || is(TokenKind::kBlockEnd) || is_operator(")") ||
         (!end.empty() && is_name(end));
}

ExprPtr ExpressionParser::parse_tuple(Condition inline_if, std::string_view end) {
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (!ends_tuple(end)) {
    items.push_back(parse_expression(inline_if));
    if (!skip_operator(",")) break;
    is_tuple = true;
  }
  if (items.empty()) unexpected("an expression");
  return is_tuple ? make(Kind::kTuple, std::move(items)) : std::move(items[0]);
}

ExprPtr ExpressionParser::parse_list() {
  expect_operator("[");
  std::vector<ExprPtr> items;
  while (!is_operator("]")) {
    items.push_back(parse_expression());
    if (!skip_operator(",")) break;
  }
  expect_operator("]");
  return make(Kind::kList, std::move(items));
}

ExprPtr ExpressionParser::parse_dict() {
  expect_operator("{");
  std::vector<ExprPtr> items;
  while (!is_operator("}")) {
    items.push_back(parse_expression());
    expect_operator(":");
    items.push_back(parse_expression());
    if (!skip_operator(",")) break;
  }
  expect_operator("}");
  return make(Kind::kDict, std::move(items));
}

ExprPtr ExpressionParser::parse_postfix(ExprPtr node) {
  while (true) {
    if (is_operator(".")) {
      node = parse_dot(std::move(node));
    } else if (is_operator("[")) {
      node = parse_subscript(std::move(node));
    } else if (is_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::parse_dot(ExprPtr node) {
  expect_operator(".");
  if (is(TokenKind::kName)) {
    std::string name = next().text;
    return make(Kind::kAttribute, list_of(std::move(node)), std::move(name));
  }
  if (!is(TokenKind::kInteger)) unexpected("a name or a number");
  return make(Kind::kItem, list_of(std::move(node), parse_primary()));
}

ExprPtr ExpressionParser::parse_subscript(ExprPtr node) {
  expect_operator("[");
  std::vector<ExprPtr> parts;
  parts.push_back(std::move(node));
  bool slice = false;
  const auto part = [&] {
    const bool absent = is_operator(":") || is_operator("]");
    parts.push_back(absent ? nullptr : parse_expression());
  };
  part();
  while (parts.size() < 4 && skip_operator(":")) {
    slice = true;
    part();
  }
  if (is_operator(",")) fail("unsupported subscript with a comma");
  expect_operator("]");
  if (!slice) {
    if (!parts[1]) fail("empty subscript");
    return make(Kind::kItem, std::move(parts));
  }
  parts.resize(4);
  return make(Kind::kSlice, std::move(parts));
}

ExprPtr ExpressionParser::parse_call(ExprPtr node) {
  std::vector<Argument> arguments = parse_arguments();
  return with_arguments(make(Kind::kCall, list_of(std::move(node))), std::move(arguments));
}

std::vector<Argument> ExpressionParser::parse_arguments() {
  expect_operator("(");
  std::vector<Argument> arguments;
  Argument::Kind last = Argument::Kind::kPositional;
  while (!is_operator(")")) {
    arguments.push_back(parse_argument(last));
    last = std::max(last, arguments.back().kind);
    if (!skip_operator(",")) break;
  }
  expect_operator(")");
  return arguments;
}

Argument ExpressionParser::parse_argument(Argument::Kind before) {
  using Type = Argument::Kind;
  Argument argument;
  if (skip_operator("*")) {
    argument.kind = Type::kUnpackList;
  } else if (skip_operator("**")) {
    argument.kind = Type::kUnpackDict;
  } else if (is(TokenKind::kName) && ahead().kind == TokenKind::kOperator && ahead().text == "=") {
    argument.kind = Type::kNamed;
    argument.name = next().text;
    next();
  }
  const bool late = argument.kind == Type::kPositional ? before != Type::kPositional
                                                       : before == Type::kUnpackDict;
  if (late) fail("arguments in the wrong order");
  argument.value = parse_expression();
  return argument;
}

ExprPtr ExpressionParser::parse_filters(ExprPtr input, bool first_without_pipe) {
  ExprPtr node = std::move(input);
  while (first_without_pipe || skip_operator("|")) {
    first_without_pipe = false;
    std::string name = expect_name();
    std::vector<ExprPtr> children;
    if (node) children.push_back(std::move(node));
    node = make(Kind::kFilter, std::move(children), std::move(name));
    if (is_operator("(")) node = with_arguments(std::move(node), parse_arguments());
  }
  return node;
}

ExprPtr ExpressionParser::parse_test(ExprPtr node) {
  const bool negated = skip_name("not");
  std::string name = expect_name();
  ExprPtr test = make(Kind::kTest, list_of(std::move(node)), std::move(name));
  const bool bare_argument =
      is(TokenKind::kString) || is(TokenKind::kInteger) || is(TokenKind::kFloat) ||
      is_operator("[") || is_operator("{") ||
      (is(TokenKind::kName) && !is_name("else") && !is_name("or") && !is_name("and"));
  if (is_operator("(")) {
    test = with_arguments(std::move(test), parse_arguments());
  } else if (bare_argument) {
    if (is_name("is")) fail("tests cannot be chained with 'is'");
    std::vector<Argument> arguments(1);
    arguments[0].value = parse_postfix(parse_primary());
    test = with_arguments(std::move(test), std::move(arguments));
  }
  return negated ? make(Kind::kNot, list_of(std::move(test))) : std::move(test);
}

}  // namespace dms::text::jinja
