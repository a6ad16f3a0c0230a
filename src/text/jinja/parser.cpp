#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include "text/jinja/ast.h"
#include "text/jinja/expression_parser.h"

namespace dms::text::jinja {
namespace {

using Kind = Stmt::Kind;
constexpr int kMaxBlockDepth = 60;

class Parser : ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Body parse() {
    Body body = parse_until({});
    if (!is(TokenKind::kEnd)) fail("unexpected '" + current().text + "' outside of a block");
    return body;
  }

 private:
  using Names = std::initializer_list<std::string_view>;

  /// Statements up to "{% NAME", with the parser left on NAME; or to the end of the template.
  Body parse_until(Names ends) {
    if (++depth_ > kMaxBlockDepth) fail("blocks nested too deeply");
    Body body;
    while (!is(TokenKind::kEnd)) {
      if (is(TokenKind::kText)) {
        Stmt& text = body.emplace_back();
        text.place = current().place;
        text.text = next().text;
      } else if (is(TokenKind::kVariableBegin)) {
        body.push_back(parse_output());
      } else {
        next();
        if (std::ranges::any_of(ends, [&](std::string_view end) { return is_name(end); })) break;
        body.push_back(parse_statement());
        expect_block_end();
      }
    }
    --depth_;
    return body;
  }

  void expect_block_end() {
    if (!is(TokenKind::kBlockEnd)) unexpected("'%}'");
    next();
  }

  /// The body of a block whose head has been read, up to one of `ends` (at least one).
  Body parse_body(Names ends) {
    skip_operator(":");
    expect_block_end();
    Body body = parse_until(ends);
    if (is(TokenKind::kEnd)) unexpected("'{% " + std::string(*ends.begin()) + " %}'");
    return body;
  }

  Body parse_whole_body(std::string_view end) {
    Body body = parse_body({end});
    next();
    return body;
  }

  Stmt statement(Kind kind) const {
    Stmt stmt;
    stmt.kind = kind;
    stmt.place = current().place;
    return stmt;
  }

  /// Names, possibly nested in tuples, or with `namespaces` also ns.attribute.
  ExprPtr parse_target(bool namespaces, std::string_view end = {}) {
    check_depth(++nesting_);
    std::vector<ExprPtr> items;
    bool is_tuple = false;
    while (!ends_tuple(end) && !is_operator("=")) {
      items.push_back(parse_target_item(namespaces));
      if (!skip_operator(",")) break;
      is_tuple = true;
    }
    --nesting_;
    if (items.empty()) unexpected("a name");
    return is_tuple ? make(Expr::Kind::kTuple, std::move(items)) : std::move(items[0]);
  }

  ExprPtr parse_target_item(bool namespaces) {
    if (skip_operator("(")) {
      ExprPtr inner = parse_target(false);
      expect_operator(")");
      return inner;
    }
    std::string name = expect_name();
    constexpr std::array<std::string_view, 6> kConstants{
        "true", "True", "false", "False", "none", "None"};
    if (std::ranges::count(kConstants, name) > 0) fail("cannot assign to '" + name + "'");
    if (!namespaces || !skip_operator(".")) return make(Expr::Kind::kName, {}, std::move(name));
    std::vector<ExprPtr> attribute;
    std::string attribute_name = expect_name();
    attribute.push_back(make(Expr::Kind::kConstant));
    attribute[0]->constant = Value(std::move(attribute_name));
    return make(Expr::Kind::kNamespaceItem, std::move(attribute), std::move(name));
  }

  Stmt parse_output() {
    next();
    Stmt stmt = statement(Kind::kOutput);
    stmt.value = parse_tuple();
    if (!is(TokenKind::kVariableEnd)) unexpected("'}}'");
    next();
    return stmt;
  }

  Stmt parse_statement() {
    using Method = Stmt (Parser::*)();
    constexpr std::array<std::pair<std::string_view, Method>, 11> kStatements{{
        {"if", &Parser::parse_if},
        {"for", &Parser::parse_for},
        {"set", &Parser::parse_set},
        {"macro", &Parser::parse_macro},
        {"call", &Parser::parse_call_block},
        {"filter", &Parser::parse_filter_block},
        {"with", &Parser::parse_with},
        {"generation", &Parser::parse_generation},
        {"break", &Parser::parse_break},
        {"continue", &Parser::parse_continue},
        {"print", &Parser::parse_print},
    }};
    if (!is(TokenKind::kName)) unexpected("the name of a statement");
    for (const auto& [name, method] : kStatements) {
      if (skip_name(name)) return (this->*method)();
    }
    fail("unsupported statement '" + current().text + "'");
  }

  Stmt parse_if() {
    Stmt stmt = statement(Kind::kIf);
    while (true) {
      Branch& branch = stmt.branches.emplace_back();
      branch.condition = parse_tuple(Condition::kNotAllowed);
      branch.body = parse_body({"endif", "elif", "else"});
      if (skip_name("elif")) continue;
      if (skip_name("else")) {
        stmt.branches.emplace_back().body = parse_whole_body("endif");
      } else {
        next();
      }
      return stmt;
    }
  }

  Stmt parse_for() {
    Stmt stmt = statement(Kind::kFor);
    stmt.target = parse_target(false, "in");
    if (!skip_name("in")) unexpected("'in'");
    stmt.value = parse_tuple(Condition::kNotAllowed, "recursive");
    if (skip_name("if")) stmt.test = parse_expression();
    if (is_name("recursive")) fail("unsupported construct 'for ... recursive'");
    ++loops_;
    stmt.body = parse_body({"endfor", "else"});
    --loops_;
    if (skip_name("else")) {
      stmt.else_body = parse_whole_body("endfor");
    } else {
      next();
    }
    return stmt;
  }

  Stmt parse_set() {
    Stmt stmt = statement(Kind::kSet);
    stmt.target = parse_target(true);
    if (skip_operator("=")) {
      stmt.value = parse_tuple();
      return stmt;
    }
    stmt.kind = Kind::kSetBlock;
    if (is_operator("|")) stmt.value = parse_filters(nullptr, false);
    stmt.body = parse_whole_body("endset");
    return stmt;
  }

  std::vector<Parameter> parse_parameters() {
    std::vector<Parameter> parameters;
    expect_operator("(");
    while (!is_operator(")")) {
      if (!parameters.empty()) expect_operator(",");
      Parameter& parameter = parameters.emplace_back();
      parameter.name = expect_name();
      if (skip_operator("=")) {
        parameter.fallback = parse_expression();
      } else if (parameters.size() > 1 && parameters[parameters.size() - 2].fallback) {
        fail("a parameter without default follows one with a default");
      }
    }
    expect_operator(")");
    return parameters;
  }

  /// The part macros and call blocks share, from the parameters' end on.
  std::shared_ptr<const MacroNode> parse_macro_body(std::string name,
                                                    std::vector<Parameter> parameters,
                                                    std::string_view end) {
    auto macro = std::make_shared<MacroNode>();
    macro->name = std::move(name);
    macro->parameters = std::move(parameters);
    const int loops_outside = std::exchange(loops_, 0);
    open_macros_.emplace_back();
    macro->body = std::make_shared<const Body>(parse_whole_body(end));
    macro->uses_caller = open_macros_.back().caller;
    macro->uses_varargs = open_macros_.back().varargs;
    macro->uses_kwargs = open_macros_.back().kwargs;
    open_macros_.pop_back();
    loops_ = loops_outside;
    return macro;
  }

  Stmt parse_macro() {
    Stmt stmt = statement(Kind::kMacro);
    std::string name = expect_name();
    std::vector<Parameter> parameters = parse_parameters();
    stmt.macro = parse_macro_body(std::move(name), std::move(parameters), "endmacro");
    return stmt;
  }

  Stmt parse_call_block() {
    Stmt stmt = statement(Kind::kCallBlock);
    std::vector<Parameter> parameters;
    if (is_operator("(")) parameters = parse_parameters();
    stmt.value = parse_expression();
    if (stmt.value->kind != Expr::Kind::kCall) fail("a call block must call something");
    stmt.macro = parse_macro_body("caller", std::move(parameters), "endcall");
    return stmt;
  }

  Stmt parse_filter_block() {
    Stmt stmt = statement(Kind::kFilterBlock);
    stmt.value = parse_filters(nullptr, true);
    stmt.body = parse_whole_body("endfilter");
    return stmt;
  }

  Stmt parse_with() {
    Stmt stmt = statement(Kind::kWith);
    while (!is(TokenKind::kBlockEnd)) {
      if (!stmt.assignments.empty()) expect_operator(",");
      ExprPtr target = parse_target(false);
      expect_operator("=");
      stmt.assignments.emplace_back(std::move(target), parse_expression());
    }
    stmt.body = parse_whole_body("endwith");
    return stmt;
  }

  Stmt parse_generation() {
    Stmt stmt = statement(Kind::kScope);
    const int loops_outside = std::exchange(loops_, 0);
    stmt.body = parse_whole_body("endgeneration");
    loops_ = loops_outside;
    return stmt;
  }

  Stmt parse_break() { return parse_jump(Kind::kBreak, "break"); }
  Stmt parse_continue() { return parse_jump(Kind::kContinue, "continue"); }

  Stmt parse_jump(Kind kind, const std::string& name) {
    if (loops_ == 0) fail("'" + name + "' outside of a loop");
    return statement(kind);
  }

  Stmt parse_print() {
    Stmt stmt = statement(Kind::kOutput);
    stmt.value = parse_expression();
    if (is_operator(",")) fail("unsupported 'print' of several values");
    return stmt;
  }

  int depth_ = 0;
  int loops_ = 0;  // around this place and inside of its macro
};

}  // namespace

Body parse_template(std::string_view source, const Origin& origin) {
  return Parser(tokenize(source, origin), origin).parse();
}

}  // namespace dms::text::jinja
