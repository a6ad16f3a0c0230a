#pragma once
// The syntax tree of a template. Built by the parser, never changed afterwards.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace dms::text::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Argument {
  enum class Kind { kPositional, kNamed, kUnpackList, kUnpackDict };
  Kind kind = Kind::kPositional;
  std::string name;  // of kNamed
  ExprPtr value;
};

struct Expr {
  enum class Kind {
    kConstant,
    kName,
    kTuple,
    kList,
    kDict,       // children: key, value, key, value, ...
    kAttribute,  // children[0] . name
    kItem,       // children[0] [ children[1] ]
    kSlice,      // children[0] [ children[1] : children[2] : children[3] ], null when absent
    kCall,       // children[0] ( arguments )
    kFilter,     // children[0] | name ( arguments ); no child: the text of a block
    kTest,       // children[0] is name ( arguments )
    kUnary,      // name children[0]
    kBinary,     // children[0] name children[1]
    kCompare,    // children[0] names[0] children[1] names[1] children[2] ...
    kAnd,        // children
    kOr,         // children
    kNot,
    kConcat,        // children joined as text
    kConditional,   // children[1] if children[0] else children[2] (null when absent)
    kNamespaceItem  // set target: name . children[0], a constant
  };
  Kind kind = Kind::kConstant;
  int place = 1;
  int depth = 1;  // of the tree below
  Value constant;
  std::string name;
  std::vector<std::string> names;
  std::vector<ExprPtr> children;
  std::vector<Argument> arguments;
};

struct Stmt;
using Body = std::vector<Stmt>;

struct Parameter {
  std::string name;
  ExprPtr fallback;  // null: none
};

/// A macro, or the body of a call block.
struct MacroNode {
  std::string name;
  std::vector<Parameter> parameters;
  std::shared_ptr<const Body> body;
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

struct Branch {
  ExprPtr condition;  // null: else
  Body body;
};

struct Stmt {
  enum class Kind {
    kText,
    kOutput,
    kIf,
    kFor,
    kSet,
    kSetBlock,
    kMacro,
    kCallBlock,
    kFilterBlock,
    kWith,
    kScope,  // generation: a block with variables of its own
    kBreak,
    kContinue
  };
  Kind kind = Kind::kText;
  int place = 1;
  std::string text;
  ExprPtr target;  // for, set
  ExprPtr value;   // output, for, set, call block (the call), filter block and block set (filters)
  ExprPtr test;    // for ... if
  std::vector<Branch> branches;
  std::vector<std::pair<ExprPtr, ExprPtr>> assignments;  // with
  Body body;
  Body else_body;
  std::shared_ptr<const MacroNode> macro;
};

/// Throws InputError naming the place for malformed templates, for statements this subset does not
/// have (by name) and for nesting deeper than any real template's.
Body parse_template(std::string_view source, const Origin& origin);

}  // namespace dms::text::jinja
