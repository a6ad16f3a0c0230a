#include <algorithm>
#include <utility>

#include "text/jinja/evaluator.h"

namespace dms::text::jinja {
namespace {

class Renderer : Evaluator {
 public:
  Renderer(Runtime& runtime, const Dict& context) : Evaluator(runtime, context), out_(runtime) {}

  std::string render(const Body& body) {
    const Block root(*this, nullptr);
    run(body);
    return out_.take();
  }

 private:
  enum class Flow { kOn, kBreak, kContinue };

  /// A scope for as long as it lives, or longer where a macro keeps it.
  class Block {
   public:
    Block(Renderer& renderer, Scope* parent)
        : renderer_(renderer), outside_(renderer.scope_), scope_(std::make_unique<Scope>()) {
      scope_->parent = parent;
      renderer.scope_ = scope_.get();
    }
    ~Block() {
      renderer_.scope_ = outside_;
      if (scope_->captured) renderer_.captured_.push_back(std::move(scope_));
    }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

   private:
    Renderer& renderer_;
    Scope* outside_;
    std::unique_ptr<Scope> scope_;
  };

  Flow run(const Body& body) {
    for (const Stmt& stmt : body) {
      if (const Flow flow = run(stmt); flow != Flow::kOn) return flow;
    }
    return Flow::kOn;
  }

  Flow run(const Stmt& stmt) {
    const Runtime::Level level(runtime_);
    runtime_.step();
    runtime_.place = stmt.place;
    switch (stmt.kind) {
      case Stmt::Kind::kText:
        out_.add(stmt.text);
        break;
      case Stmt::Kind::kOutput:
        add_text(runtime_, out_, evaluate(*stmt.value));
        break;
      case Stmt::Kind::kIf:
        return run_if(stmt);
      case Stmt::Kind::kFor:
        run_for(stmt);
        break;
      case Stmt::Kind::kSet:
        assign(*stmt.target, evaluate(*stmt.value));
        break;
      case Stmt::Kind::kSetBlock:
      case Stmt::Kind::kFilterBlock:
        return run_captured(stmt);
      case Stmt::Kind::kMacro:
        set_variable(stmt.macro->name, make_macro(*stmt.macro));
        break;
      case Stmt::Kind::kCallBlock:
        run_call_block(stmt);
        break;
      case Stmt::Kind::kWith:
        return run_with(stmt);
      case Stmt::Kind::kScope: {
        const Block block(*this, scope_);
        return run(stmt.body);
      }
      case Stmt::Kind::kBreak:
        return Flow::kBreak;
      case Stmt::Kind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kOn;
  }

  Flow run_if(const Stmt& stmt) {
    for (const Branch& branch : stmt.branches) {
      if (!branch.condition || truthy(evaluate(*branch.condition))) return run(branch.body);
    }
    return Flow::kOn;
  }

  /// Runs `body` in a scope of its own and gives `text` what it writes.
  Flow capture(const Body& body, Scope* parent, std::string& text) {
    TextBuilder outside = std::exchange(out_, TextBuilder(runtime_));
    const Block block(*this, parent);
    const Flow flow = run(body);
    text = std::exchange(out_, std::move(outside)).take();
    return flow;
  }

  /// A block whose text goes through filters and into a variable or the output; leaving the loop
  /// around it leaves the text behind.
  Flow run_captured(const Stmt& stmt) {
    std::string text;
    if (const Flow flow = capture(stmt.body, scope_, text); flow != Flow::kOn) return flow;
    Value value(std::move(text));
    if (stmt.value) {
      const Value outside = std::exchange(block_text_, value);
      value = evaluate(*stmt.value);
      block_text_ = outside;
    }
    if (stmt.kind == Stmt::Kind::kSetBlock) {
      assign(*stmt.target, std::move(value));
    } else {
      add_text(runtime_, out_, value);
    }
    return Flow::kOn;
  }

  Flow run_with(const Stmt& stmt) {
    std::vector<Value> values;
    for (const auto& [target, value] : stmt.assignments) values.push_back(evaluate(*value));
    const Block block(*this, scope_);
    for (size_t i = 0; i < values.size(); ++i) assign(*stmt.assignments[i].first, values[i]);
    return run(stmt.body);
  }

  /// Elements of a loop in order, those that fail the loop's own "if" left out. The test runs when
  /// the element is asked for, as in jinja2, and sees the variables outside of the loop.
  std::function<std::optional<Value>()> puller(const Stmt& stmt, Elements items) {
    return [this, &stmt, outside = scope_, items = std::move(items), at = size_t{0}]() mutable
           -> std::optional<Value> {
      while (at < items.size()) {
        const Value item = items[at++];
        if (!stmt.test) return item;
        Scope* const inside = std::exchange(scope_, outside);
        const bool chosen = passes(stmt, item);
        scope_ = inside;
        if (chosen) return item;
      }
      return std::nullopt;
    };
  }

  bool passes(const Stmt& stmt, const Value& item) {
    const Block block(*this, scope_);
    assign(*stmt.target, item);
    return truthy(evaluate(*stmt.test));
  }

  /// Lets go of everything a finished loop holds, so that no cycle through it stays.
  struct LoopEnd {
    Loop& loop;
    ~LoopEnd() {
      loop = Loop{.pull = [] { return std::optional<Value>(); }};
    }
  };

  static std::optional<Value> advance(Loop& loop) {
    if (loop.ahead.empty()) return loop.pull();
    Value next = std::move(loop.ahead.back());
    loop.ahead.pop_back();
    return next;
  }

  void run_for(const Stmt& stmt) {
    runtime_.make(sizeof(Loop) + kObjectBytes);
    const auto loop = std::make_shared<Loop>();
    const LoopEnd end{*loop};
    loop->pull = puller(stmt, Elements(runtime_, evaluate(*stmt.value)));
    loop->depth = 1;
    bool completed = false;  // some pass reached its end: what jinja2's else asks for
    while (std::optional<Value> item = advance(*loop)) {
      runtime_.step();
      loop->previous = std::exchange(loop->current, *item);
      ++loop->index;
      const Block block(*this, scope_);
      set_variable("loop", Value(loop));
      assign(*stmt.target, *item);
      const Flow flow = run(stmt.body);
      completed |= flow == Flow::kOn;
      if (flow == Flow::kBreak) break;
    }
    if (completed) return;
    const Block block(*this, scope_);
    run(stmt.else_body);
  }

  Value make_macro(const MacroNode& macro) {
    runtime_.make(sizeof(Callable) + sizeof(Scope) + 2 * kObjectBytes);
    for (Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
      runtime_.step();
      scope->captured = true;
    }
    return std::make_shared<const Callable>(Callable{
        .kind = Callable::Kind::kMacro, .name = macro.name, .macro = &macro, .scope = scope_});
  }

  void run_call_block(const Stmt& stmt) {
    Arguments arguments = arguments_of(*stmt.value);
    arguments.named.emplace_back("caller", make_macro(*stmt.macro));
    add_text(runtime_, out_, call(*stmt.value, std::move(arguments)));
  }

  Value call_macro(const Callable& callable, const Arguments& arguments) override {
    const MacroNode& macro = *callable.macro;
    const Runtime::Level level(runtime_);
    const Block block(*this, callable.scope);
    bind(macro, arguments);
    std::string text;
    capture(*macro.body, scope_, text);
    return text;
  }

  void bind(const MacroNode& macro, const Arguments& arguments) {
    const size_t count = macro.parameters.size();
    for (size_t i = 0; i < count; ++i) {
      const Parameter& parameter = macro.parameters[i];
      runtime_.step(std::ssize(arguments.named));
      const Value* value = arguments.get(i, parameter.name);
      Value bound = value != nullptr ? *value
                    : parameter.fallback
                        ? evaluate(*parameter.fallback)
                        : runtime_.undefined("parameter '" + parameter.name + "' was not provided");
      set_variable(parameter.name, std::move(bound));
    }
    bind_extra(macro, arguments);
  }

  void bind_extra(const MacroNode& macro, const Arguments& arguments) {
    const size_t count = macro.parameters.size();
    if (macro.uses_varargs) {
      ListBuilder rest(runtime_);
      rest.add_all(
          std::span(arguments.positional).subspan(std::min(count, arguments.positional.size())));
      set_variable("varargs", jinja::make_tuple(runtime_, rest.take()));
    } else if (arguments.positional.size() > count) {
      runtime_.fail("too many arguments for macro '" + macro.name + "'");
    }
    Dict extra;
    if (macro.uses_caller) {
      set_variable("caller", runtime_.undefined("no caller is defined"));
    }
    for (const auto& [name, value] : arguments.named) {
      runtime_.step(std::ssize(macro.parameters));
      const auto it = std::ranges::find(macro.parameters, name, &Parameter::name);
      const auto position = static_cast<size_t>(it - macro.parameters.begin());
      if (it != macro.parameters.end() && position >= arguments.positional.size()) continue;
      if (macro.uses_caller && name == "caller") {
        set_variable(name, value);
      } else if (macro.uses_kwargs) {
        extra.set(runtime_, Value(name), value);
      } else {
        runtime_.fail("macro '" + macro.name + "' takes no argument '" + name + "'");
      }
    }
    if (macro.uses_kwargs) {
      set_variable("kwargs", make_dict(runtime_, std::move(extra)));
    }
  }

  TextBuilder out_;
  std::vector<std::unique_ptr<Scope>> captured_;
};

}  // namespace

std::string render_body(const Body& body, const Dict& context, Runtime& runtime) {
  return Renderer(runtime, context).render(body);
}

}  // namespace dms::text::jinja
