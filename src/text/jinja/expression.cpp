// Expressions by themselves (declared in jinja.h).

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/check.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/expression_parser.h"
#include "text/jinja/jinja.h"

namespace dms::text::jinja {
namespace {

using Kind = Expr::Kind;

constexpr std::array<std::string_view, 4> kFunctions{"len", "any", "all", "has"};
// What templates could use as names all the same.
constexpr std::array<std::string_view, 7> kWords{"and", "or", "not", "in", "is", "if", "else"};

class Parser : ExpressionParser {
 public:
  Parser(std::string_view source, const Origin& origin)
      : ExpressionParser(tokenize(source, origin), origin) {}

  ExprPtr parse() {
    ExprPtr root = parse_expression();
    if (!is(TokenKind::kEnd)) unexpected("an operator or the end");
    return root;
  }
};

bool is_field(const Expr& expr) {
  if (expr.kind == Kind::kName) return true;
  return (expr.kind == Kind::kAttribute || expr.kind == Kind::kItem) && is_field(*expr.children[0]);
}

/// Gives names their meaning: null, functions, and fields, which it collects.
class Resolver {
 public:
  Resolver(const Origin& origin, std::set<std::string>& fields)
      : origin_(origin), fields_(fields) {}

  void resolve(Expr& expr) {
    if (expr.kind == Kind::kName) resolve_name(expr);
    const bool calls_function = expr.kind == Kind::kCall && expr.children[0]->kind == Kind::kName;
    if (calls_function) check_call(expr);
    for (const ExprPtr& child : expr.children) {
      if (child && !calls_function) resolve(*child);
    }
    for (const Argument& argument : expr.arguments) resolve(*argument.value);
  }

 private:
  void resolve_name(Expr& name) {
    if (std::ranges::find(kWords, name.name) != kWords.end()) {
      origin_.fail(name.place, "unexpected '" + name.name + "', expected an expression");
    }
    if (name.name == "null") {
      name.kind = Kind::kConstant;
      name.constant = None{};
    } else {
      fields_.insert(name.name);
    }
  }

  void check_call(const Expr& call) const {
    const std::string& name = call.children[0]->name;
    if (std::ranges::find(kFunctions, name) == kFunctions.end()) {
      origin_.fail(call.place, "unknown function '" + name + "' (expected len, any, all or has)");
    }
    const bool has_one =
        call.arguments.size() == 1 && call.arguments[0].kind == Argument::Kind::kPositional;
    if (!has_one) origin_.fail(call.place, name + "() takes one value");
    if (name == "has" && !is_field(*call.arguments[0].value)) {
      origin_.fail(call.arguments[0].value->place, "has() takes a field");
    }
  }

  const Origin& origin_;
  std::set<std::string>& fields_;
};

class RecordEvaluator final : Evaluator {
 public:
  using Evaluator::Evaluator;

  bool holds(const Expr& root) { return truthy(evaluate(root)); }

 private:
  Value global(const std::string& name) override {
    return runtime_.undefined("field '" + name + "' is missing");
  }

  Value call_macro(const Callable&, const Arguments&) override {
    ensure(false, "a macro in an expression");
    return {};
  }

  Value evaluate_call(const Expr& call) override {
    const Expr& callee = *call.children[0];
    if (callee.kind != Kind::kName) return Evaluator::evaluate_call(call);
    const Expr& argument = *call.arguments[0].value;
    if (callee.name == "has") return has(argument);
    const Value value = evaluate(argument);
    runtime_.place = call.place;
    if (callee.name == "len") {
      const std::optional<int64_t> count = length(runtime_, value);
      if (!count) runtime_.fail("len() of " + type_name(value));
      return *count;
    }
    const Sequence* list = value.sequence();
    if (list == nullptr)
      runtime_.fail(callee.name + "() of " + type_name(value) + ", not of a list");
    runtime_.step(std::ssize(list->items));
    return callee.name == "any" ? std::ranges::any_of(list->items, truthy)
                                : std::ranges::all_of(list->items, truthy);
  }

  bool has(const Expr& field) {
    if (field.kind != Kind::kName && !has(*field.children[0])) return false;
    const bool was_strict = std::exchange(runtime_.is_strict, false);
    const Value value = evaluate(field);
    runtime_.is_strict = was_strict;
    return !value.is_undefined() && !value.is_none() && value.callable() == nullptr;
  }
};

}  // namespace

struct Expression::Tree {
  ExprPtr root;
  std::set<std::string> fields;
};

Expression::Expression(std::string_view source, const std::string& where) {
  const Origin origin{.where = where, .is_template = false};
  auto tree = std::make_shared<Tree>();
  tree->root = Parser(source, origin).parse();
  Resolver(origin, tree->fields).resolve(*tree->root);
  tree_ = std::move(tree);
}

bool Expression::holds(const nlohmann::json& record,
                       const std::string& where,
                       const Limits& limits) const {
  std::vector<std::pair<const std::string*, const nlohmann::json*>> values;
  size_t bytes = 0;
  for (const std::string& field : tree_->fields) {
    const auto found = record.find(field);
    const bool is_whole = found == record.end() && field == "record";
    if (found == record.end() && !is_whole) continue;
    values.emplace_back(&field, is_whole ? &record : &*found);
    bytes += bytes_of(*values.back().second);
  }
  Runtime runtime({.where = where, .is_template = false}, limits_for(limits, bytes));
  Dict fields;
  for (const auto& [name, value] : values) {
    fields.set(runtime, Value(*name), from_json(runtime, *value));
  }
  runtime.is_strict = true;
  return RecordEvaluator(runtime, fields).holds(*tree_->root);
}

}  // namespace dms::text::jinja
