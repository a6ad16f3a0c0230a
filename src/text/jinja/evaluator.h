#pragma once
// What expressions are worth. Variables live in nested scopes; what calls of names mean is up to
// what derives from it: the renderer of templates (renderer.cpp), expressions by themselves
// (expression.cpp).

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace dms::text::jinja {

struct Scope {
  Scope* parent = nullptr;
  std::unordered_map<std::string, Value> variables;
  bool captured = false;  // a macro was defined in or below it and may outlive its block
};

class Evaluator {
 public:
  Evaluator(Runtime& runtime, const Dict& context) : runtime_(runtime), context_(context) {}
  virtual ~Evaluator() = default;

 protected:
  Value evaluate(const Expr& expr);
  Value call(const Expr& call, Arguments arguments);
  Arguments arguments_of(const Expr& expr);
  /// In the innermost scope.
  void set_variable(const std::string& name, Value value);
  /// Assigns to a name, a tuple of targets or an attribute of a namespace.
  void assign(const Expr& target, Value value);
  virtual Value call_macro(const Callable& macro, const Arguments& arguments) = 0;
  virtual Value evaluate_call(const Expr& expr);
  /// A name that is no variable.
  virtual Value global(const std::string& name);

  Runtime& runtime_;
  Scope* scope_ = nullptr;
  Value block_text_;  // what the filters of a block are applied to

 private:
  Value lookup(const std::string& name);
  Value evaluate_list(const Expr& expr);
  Value evaluate_dict(const Expr& expr);
  Value evaluate_slice(const Expr& expr);
  Value evaluate_filter(const Expr& expr);
  Value evaluate_compare(const Expr& expr);
  Value evaluate_logic(const Expr& expr);
  Value evaluate_concat(const Expr& expr);
  Value evaluate_conditional(const Expr& expr);
  Value evaluate_operator(const Expr& expr);
  void unpack_list(const Value& value, Arguments& arguments);
  void unpack_dict(const Value& value, Arguments& arguments);
  void check_names(const Arguments& arguments);

  const Dict& context_;
};

/// Renders `body` with the variables `context`. Throws InputError naming the template and the line.
std::string render_body(const Body& body, const Dict& context, Runtime& runtime);

}  // namespace dms::text::jinja
