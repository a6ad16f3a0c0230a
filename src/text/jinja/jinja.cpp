#include "text/jinja/jinja.h"

#include <utility>

#include "text/jinja/evaluator.h"

namespace dms::text::jinja {

struct Template::Tree {
  Body body;
};

Template::Template(std::string_view source, std::string where)
    : where_(std::move(where)),
      tree_(std::make_shared<const Tree>(Tree{parse_template(source, {.where = where_})})) {}

std::string Template::render(const nlohmann::ordered_json& variables, const Limits& limits) const {
  Runtime runtime({.where = where_}, limits_for(limits, bytes_of(variables)));
  Dict context;
  for (const auto& [name, value] : variables.items()) {
    context.set(runtime, Value(name), from_json(runtime, value));
  }
  return render_body(tree_->body, context, runtime);
}

}  // namespace dms::text::jinja
