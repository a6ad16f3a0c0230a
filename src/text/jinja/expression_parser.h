#pragma once
// A token stream and recursive descent over jinja2's precedence levels. The parser of statements
// (parser.cpp) and that of expressions by themselves (expression.cpp) derive from it.

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace dms::text::jinja {

class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, const Origin& origin)
      : tokens_(std::move(tokens)), origin_(origin) {}

 protected:
  using TokenKind = Token::Kind;

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool is(TokenKind kind) const { return current().kind == kind; }
  bool is_operator(std::string_view text) const;
  bool is_name(std::string_view text) const;
  const Token& next();
  bool skip_operator(std::string_view text);
  bool skip_name(std::string_view text);
  void expect_operator(std::string_view text);
  std::string expect_name();
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void unexpected(const std::string& expected) const;

  enum class Condition { kAllowed, kNotAllowed };
  ExprPtr parse_expression(Condition inline_if = Condition::kAllowed);
  /// One expression, or a tuple where commas follow; stops before the name `end`.
  ExprPtr parse_tuple(Condition inline_if = Condition::kAllowed, std::string_view end = {});
  /// One or more filters applied to `input` (null: to the text of a block).
  ExprPtr parse_filters(ExprPtr input, bool first_without_pipe);
  ExprPtr parse_postfix(ExprPtr node);

  bool ends_tuple(std::string_view end) const;
  ExprPtr make(Expr::Kind kind, std::vector<ExprPtr> children = {}, std::string name = {}) const;
  void check_depth(int depth) const;
  int nesting_ = 0;

  /// Notes the names that a macro's body must mention to be given them.
  struct SpecialNames {
    bool caller = false, varargs = false, kwargs = false;
  };
  std::vector<SpecialNames> open_macros_;

 private:
  using Level = ExprPtr (ExpressionParser::*)();
  ExprPtr parse_conditional();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary() { return parse_unary(true); }
  ExprPtr parse_unary(bool with_filters);
  ExprPtr parse_primary();
  ExprPtr parse_name();
  ExprPtr parse_strings();
  ExprPtr parse_parentheses();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_dot(ExprPtr node);
  ExprPtr parse_subscript(ExprPtr node);
  ExprPtr parse_call(ExprPtr node);
  ExprPtr parse_test(ExprPtr node);
  std::vector<Argument> parse_arguments();
  /// `before`: the latest kind among the arguments before, in the order of Argument::Kind.
  Argument parse_argument(Argument::Kind before);
  ExprPtr parse_left(Level operand, std::initializer_list<std::string_view> operators);
  void note_special(const std::string& name);
  ExprPtr with_arguments(ExprPtr node, std::vector<Argument> arguments) const;

  std::vector<Token> tokens_;
  const Origin& origin_;
  size_t at_ = 0;
};

}  // namespace dms::text::jinja
