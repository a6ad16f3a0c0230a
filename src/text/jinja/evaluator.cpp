#include "text/jinja/evaluator.h"

#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "text/jinja/builtins.h"

namespace dms::text::jinja {

Value Evaluator::lookup(const std::string& name) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    runtime_.step();
    const auto it = scope->variables.find(name);
    if (it != scope->variables.end()) return it->second;
  }
  const Value* value = context_.find(std::string_view(name));
  return value == nullptr ? global(name) : *value;
}

Value Evaluator::global(const std::string& name) {
  runtime_.make(kObjectBytes + sizeof(Callable));
  return global_function(name);
}

void Evaluator::set_variable(const std::string& name, Value value) {
  const auto [it, added] = scope_->variables.insert_or_assign(name, std::move(value));
  if (added) runtime_.make(2 * kObjectBytes + name.size());
}

Value Evaluator::evaluate(const Expr& expr) {
  const Runtime::Level level(runtime_);
  runtime_.step();
  runtime_.place = expr.place;
  using Kind = Expr::Kind;
  switch (expr.kind) {
    case Kind::kConstant:
      return expr.constant;
    case Kind::kName:
      return lookup(expr.name);
    case Kind::kTuple:
    case Kind::kList:
      return evaluate_list(expr);
    case Kind::kDict:
      return evaluate_dict(expr);
    case Kind::kSlice:
      return evaluate_slice(expr);
    case Kind::kCall:
      return evaluate_call(expr);
    case Kind::kFilter:
      return evaluate_filter(expr);
    case Kind::kCompare:
      return evaluate_compare(expr);
    case Kind::kConcat:
      return evaluate_concat(expr);
    case Kind::kAnd:
    case Kind::kOr:
      return evaluate_logic(expr);
    case Kind::kConditional:
      return evaluate_conditional(expr);
    default:
      return evaluate_operator(expr);
  }
}

Value Evaluator::evaluate_operator(const Expr& expr) {
  using Kind = Expr::Kind;
  const Value first = evaluate(*expr.children.at(0));
  const bool has_second = expr.kind == Kind::kItem || expr.kind == Kind::kBinary;
  const Value second = has_second ? evaluate(*expr.children[1]) : Value();
  runtime_.place = expr.place;
  switch (expr.kind) {
    case Kind::kAttribute:
      return attribute(runtime_, first, expr.name);
    case Kind::kItem:
      return item(runtime_, first, second);
    case Kind::kUnary:
      return unary(runtime_, expr.name, first);
    case Kind::kBinary:
      return binary(runtime_, expr.name, first, second);
    case Kind::kNot:
      return !truthy(first);
    case Kind::kTest:
      return apply_test(runtime_, expr.name, first, arguments_of(expr));
    default:
      ensure(false, "an expression that cannot be evaluated");
      return {};
  }
}

Value Evaluator::evaluate_list(const Expr& expr) {
  ListBuilder items(runtime_);
  for (const ExprPtr& child : expr.children) items.add(evaluate(*child));
  return expr.kind == Expr::Kind::kList ? make_list(runtime_, items.take())
                                        : jinja::make_tuple(runtime_, items.take());
}

Value Evaluator::evaluate_dict(const Expr& expr) {
  Dict dict;
  for (size_t i = 0; i + 1 < expr.children.size(); i += 2) {
    const Value key = evaluate(*expr.children[i]);
    if (!dict.set(runtime_, key, evaluate(*expr.children[i + 1]))) {
      runtime_.fail("a " + type_name(key) + " cannot be a key");
    }
  }
  return make_dict(runtime_, std::move(dict));
}

Value Evaluator::evaluate_slice(const Expr& expr) {
  const auto bound = [&](size_t i) {
    return expr.children[i] ? evaluate(*expr.children[i]) : Value(None{});
  };
  const Value object = evaluate(*expr.children[0]);
  const Value start = bound(1);
  const Value stop = bound(2);
  return slice(runtime_, object, start, stop, bound(3));
}

Value Evaluator::evaluate_filter(const Expr& expr) {
  const Value input = expr.children.empty() ? block_text_ : evaluate(*expr.children[0]);
  const Arguments arguments = arguments_of(expr);
  runtime_.place = expr.place;
  return apply_filter(runtime_, expr.name, input, arguments);
}

Value Evaluator::evaluate_compare(const Expr& expr) {
  Value left = evaluate(*expr.children[0]);
  for (size_t i = 0; i < expr.names.size(); ++i) {
    Value right = evaluate(*expr.children[i + 1]);
    runtime_.place = expr.place;
    if (!compare_by(runtime_, expr.names[i], left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Evaluator::evaluate_logic(const Expr& expr) {
  Value value;
  for (const ExprPtr& child : expr.children) {
    value = evaluate(*child);
    if (truthy(value) == (expr.kind == Expr::Kind::kOr)) break;
  }
  return value;
}

Value Evaluator::evaluate_concat(const Expr& expr) {
  TextBuilder text(runtime_);
  for (const ExprPtr& child : expr.children) add_text(runtime_, text, evaluate(*child));
  return text.take();
}

Value Evaluator::evaluate_conditional(const Expr& expr) {
  if (truthy(evaluate(*expr.children[0]))) return evaluate(*expr.children[1]);
  if (expr.children[2]) return evaluate(*expr.children[2]);
  return runtime_.undefined("the inline if-expression was false and has no else");
}

Arguments Evaluator::arguments_of(const Expr& expr) {
  Arguments arguments;
  for (const Argument& argument : expr.arguments) {
    const Value value = evaluate(*argument.value);
    runtime_.make(sizeof(Value));
    switch (argument.kind) {
      case Argument::Kind::kPositional:
        arguments.positional.push_back(value);
        break;
      case Argument::Kind::kNamed:
        arguments.named.emplace_back(argument.name, value);
        break;
      case Argument::Kind::kUnpackList:
        unpack_list(value, arguments);
        break;
      case Argument::Kind::kUnpackDict:
        unpack_dict(value, arguments);
        break;
    }
  }
  check_names(arguments);
  return arguments;
}

void Evaluator::unpack_list(const Value& value, Arguments& arguments) {
  runtime_.require_defined(value);
  const Elements items(runtime_, value);
  runtime_.make(items.size() * sizeof(Value));
  arguments.positional.insert(arguments.positional.end(), items.begin(), items.end());
}

void Evaluator::unpack_dict(const Value& value, Arguments& arguments) {
  if (value.dict() == nullptr) runtime_.fail("'**' needs a mapping");
  for (const auto& [key, item] : value.dict()->entries) {
    if (!key.is_string()) runtime_.fail("'**' needs names as keys");
    runtime_.step();
    runtime_.make(2 * kObjectBytes + key.string().size());
    arguments.named.emplace_back(key.string(), item);
  }
}

void Evaluator::check_names(const Arguments& arguments) {
  std::unordered_set<std::string_view> names;
  for (const auto& [name, value] : arguments.named) {
    runtime_.scan(name.size());
    if (!names.insert(name).second) runtime_.fail("argument '" + name + "' is given twice");
  }
}

Value Evaluator::evaluate_call(const Expr& expr) { return call(expr, arguments_of(expr)); }

Value Evaluator::call(const Expr& call, Arguments arguments) {
  const Value callee = evaluate(*call.children[0]);
  runtime_.place = call.place;
  runtime_.require_defined(callee);
  const Callable* target = callee.callable();
  if (target == nullptr) runtime_.fail("a " + type_name(callee) + " cannot be called");
  switch (target->kind) {
    case Callable::Kind::kMacro:
      return call_macro(*target, arguments);
    case Callable::Kind::kMethod:
      return call_method(runtime_, target->self, target->name, arguments);
    case Callable::Kind::kFunction:
      break;
  }
  return call_function(runtime_, target->name, arguments);
}

void Evaluator::assign(const Expr& target, Value value) {
  if (target.kind == Expr::Kind::kName) {
    set_variable(target.name, std::move(value));
  } else if (target.kind == Expr::Kind::kNamespaceItem) {
    Namespace* space = lookup(target.name).name_space();
    if (space == nullptr) runtime_.fail("'" + target.name + "' is not a namespace");
    const Value& name = target.children[0]->constant;
    if (name.string().starts_with('_')) {
      runtime_.fail("a namespace cannot hold '" + name.string() + "'");
    }
    space->attributes.set(runtime_, name, std::move(value));
  } else {
    const Elements parts(runtime_, value);
    if (parts.size() != target.children.size()) {
      runtime_.fail("cannot unpack " + std::to_string(parts.size()) + " values into " +
                    std::to_string(target.children.size()));
    }
    for (size_t i = 0; i < parts.size(); ++i) assign(*target.children[i], parts[i]);
  }
}

}  // namespace dms::text::jinja
