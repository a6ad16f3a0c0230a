// Templates and what jinja2, as transformers sets it up, makes of them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "text/chat_template.h"

namespace dms::text {
namespace {

using testing::HasSubstr;

std::string render(const std::string& source, const ChatLimits& limits = {}) {
  const ChatJson variables = ChatJson::parse(
      R"({"d": {"b": 1, "a": [1, 2.5, null, true]}, "l": [3, 1, 2], "s": "Hällo wörld",
          "m": [{"role": "user", "n": 2}, {"role": "bot", "n": 1}, {"role": "user"}]})");
  return ChatTemplate(source, "t").render({.kwargs = variables}, limits);
}

std::string error(const std::string& source, const ChatLimits& limits = {}) {
  try {
    return "accepted: " + render(source, limits);
  } catch (const InputError& failure) {
    return failure.what();
  }
}

struct Case {
  std::string name, source, expected;
};

class JinjaRender : public testing::TestWithParam<Case> {};

TEST_P(JinjaRender, EqualsJinja2) { EXPECT_EQ(render(GetParam().source), GetParam().expected); }

const auto kName = [](const auto& test) { return test.param.name; };

INSTANTIATE_TEST_SUITE_P(
    Statements,
    JinjaRender,
    testing::Values(
        Case{"if_elif_else", "{% if 0 %}a{% elif l %}b{% else %}c{% endif %}", "b"},
        Case{"for_loop",
             "{% for x in l %}{{ loop.index }}{{ loop.first }}{{ x }}{{ loop.last }} {% endfor %}",
             "1True3False 2False1False 3False2True "},
        Case{"for_neighbours",
             "{% for x in l %}{{ loop.previtem }}<{{ loop.nextitem }}{{ loop.length }}{{ "
             "loop.revindex }} {% endfor %}",
             "<133 3<232 1<31 "},
        Case{"for_else", "{% for x in [] %}a{% else %}b{% endfor %}", "b"},
        Case{"for_filter_counts_what_it_keeps",
             "{% for x in l if x > 1 %}{{ loop.index }}:{{ x }} {% endfor %}",
             "1:3 2:2 "},
        Case{
            "for_filter_is_lazy",
            "{% set ns = namespace(go=true) %}{% for x in l if ns.go %}{{ x }}{% set ns.go = false "
            "%}{% endfor %}",
            "3"},
        Case{"for_unpacks",
             "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
             "b=1;a=[1, 2.5, None, True];"},
        Case{"break_continue",
             "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% "
             "break %}{% endif %}{% endfor %}",
             "32"},
        Case{"loop_variables_stay_inside",
             "{% set x = 0 %}{% for y in l %}{% set x = y %}{% endfor %}{{ x }}",
             "0"},
        Case{
            "namespace_leaves_the_loop",
            "{% set ns = namespace(x=0) %}{% for y in l %}{% set ns.x = y %}{% endfor %}{{ ns.x }}",
            "2"},
        Case{"set_tuple", "{% set a, b = 1, 2 %}{{ b }}{{ a }}", "21"},
        Case{"set_block", "{% set x | upper %}a{{ 1 }}{% endset %}{{ x }}", "A1"},
        Case{"macro",
             "{% macro f(a, b='x') %}[{{ a }}{{ b }}]{% endmacro %}{{ f(1) }}{{ f(b=2, a=3) }}",
             "[1x][32]"},
        Case{"macro_varargs",
             "{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, k=3) }}",
             "(1, 2){'k': 3}"},
        Case{"macro_recursion",
             "{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
             "3210"},
        Case{"macro_sees_where_it_was_defined",
             "{% for x in l %}{% macro f() %}{{ x }}{% endmacro %}{{ f() }}{% endfor %}",
             "312"},
        Case{"call_block",
             "{% macro f(a) %}<{{ caller(a) }}>{% endmacro %}{% call(x) f(5) %}{{ x }}!{% endcall "
             "%}",
             "<5!>"},
        Case{"filter_block", "{% filter upper | trim %} a {% endfilter %}", "A"},
        Case{"with_block", "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "3"},
        Case{"generation", "{% generation %}a{% endgeneration %}b", "ab"}),
    kName);

INSTANTIATE_TEST_SUITE_P(
    Expressions,
    JinjaRender,
    testing::Values(
        Case{"values",
             "{{ [1, 'a', none, true, 1.0, (1,), {'k': \"it's\"}] }}",
             "[1, 'a', None, True, 1.0, (1,), {'k': \"it's\"}]"},
        Case{"arithmetic",
             "{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 1 / 4 }} {{ 2 ** 10 }}",
             "3 -4 2 0.25 1024"},
        Case{"power_binds_after_minus", "{{ -2 ** 2 }}", "4"},
        Case{"concat", "{{ 1 ~ none ~ 'a' ~ missing }}", "1Nonea"},
        Case{"chained_comparison", "{{ 1 < 2 < 3 }}{{ 3 > 2 > 2 }}", "TrueFalse"},
        Case{"membership", "{{ 'a' in d }}{{ 9 not in l }}{{ 'ör' in s }}", "TrueTrueTrue"},
        Case{"and_or_give_operands", "{{ 0 or 'x' }}{{ '' and 1 }}{{ 1 and 2 }}", "x2"},
        Case{"conditional", "{{ 'a' if l else 'b' }}{{ 'x' if 0 }}", "a"},
        Case{"slices",
             "{{ l[1:] }}{{ l[::-1] }}{{ s[1:4] }}{{ s[-1] }}{{ s[::-2] }}",
             "[1, 2][2, 1, 3]ällddrwolH"},
        Case{"attributes", "{{ d.b }}{{ d['a'][0] }}{{ m.0.role }}{{ d.nothing }}", "11user"},
        Case{"keys_named_as_methods", "{% set x = {'items': 1} %}{{ x['items'] }}", "1"},
        Case{"calls_unpack",
             "{{ range(*[1, 4]) | list }}{{ dict(**{'a': 1}) }}",
             "[1, 2, 3]{'a': 1}"},
        Case{"adjacent_strings", "{{ 'a' 'b' }}", "ab"},
        Case{"percent", "{{ '%s-%03d-%.2f' % ('a', 7, 1.005) }}", "a-007-1.00"},
        Case{"dict_keys_are_equal_as_in_python", "{{ {1: 'a', true: 'b', 1.0: 'c'} }}", "{1: 'c'}"},
        Case{"undefined_is_empty", "{{ x }}{{ x is defined }}{{ x | default('d') }}", "Falsed"},
        Case{"mutation_is_not_there", "{{ l.append is defined }}", "False"}),
    kName);

INSTANTIATE_TEST_SUITE_P(
    Filters,
    JinjaRender,
    testing::Values(
        Case{"tojson", "{{ d | tojson }}", R"({"b": 1, "a": [1, 2.5, null, true]})"},
        Case{"tojson_indent",
             "{{ {'a': [1], 'b': {}} | tojson(indent=2) }}",
             "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}"},
        Case{"tojson_keeps_letters", "{{ 'é\"<\\n' | tojson }}", "\"é\\\"<\\n\""},
        Case{"select",
             "{{ m | selectattr('role', 'equalto', 'user') | map(attribute='n') | list }}",
             "[2, Undefined]"},
        Case{"generators_run_once",
             "{% set g = l | select %}{{ g | list }}{{ g | list }}",
             "[3, 1, 2][]"},
        Case{"nothing_to_map", "{{ none | map('upper') | list }}", "[]"},
        Case{"sort",
             "{{ l | sort }}{{ ['b', 'A'] | sort }}{{ l | sort(reverse=true) }}",
             "[1, 2, 3]['A', 'b'][3, 2, 1]"},
        Case{"join", "{{ [1, none, 'a'] | join(', ') }}", "1, None, a"},
        Case{"indent", "{{ 'a\n\nb' | indent(2) }}|{{ 'a' | indent(2, true) }}", "a\n\n  b|  a"},
        Case{"numbers",
             "{{ '12' | int + '1.5' | float }}{{ 'x' | int(-1) }}{{ 2.5 | round }}",
             "13.5-12.0"},
        Case{"dictsort", "{{ d | dictsort | first }}", "('a', [1, 2.5, None, True])"},
        Case{"title",
             "{{ 'hello-world (x' | title }}{{ \"they're\".title() }}",
             "Hello-World (XThey'Re"},
        Case{"safe_text_escapes_what_is_added", "{{ '<a>' | safe + '\"' }}", "<a>&#34;"},
        Case{"strings",
             "{{ ' x '.strip() }}{{ 'a,b,c'.split(',', 1) }}{{ 'aXb'.lower() }}",
             "x['a', 'b,c']axb"}),
    kName);

TEST(JinjaErrors, NameLineAndConstruct) {
  EXPECT_EQ(error("\n{% include 'x' %}"), "t: line 2: unsupported statement 'include'");
  EXPECT_EQ(error("\n\n{{ 1 | nofilter }}"), "t: line 3: unsupported filter 'nofilter'");
  EXPECT_EQ(error("{{ 1 is notest }}"), "t: line 1: unsupported test 'notest'");
  EXPECT_EQ(error("{{ 'a'.swapcase() }}"), "t: line 1: unsupported method 'swapcase' of a str");
  EXPECT_EQ(error("{% for x in l recursive %}{% endfor %}"),
            "t: line 1: unsupported construct 'for ... recursive'");
  EXPECT_EQ(error("{{ missing.x }}"), "t: line 1: 'missing' is undefined");
  EXPECT_EQ(error("{% if 1 %}"),
            "t: line 1: unexpected the end of the template, expected '{% "
            "endif %}'");
  EXPECT_THAT(error("{{ l.append(1) }}"), HasSubstr("'append'"));
  EXPECT_THAT(error("{{ 1 + 'a' }}"), HasSubstr("unsupported operands of '+': int and str"));
  EXPECT_THAT(error("{{ 1 // 0 }}"), HasSubstr("division by zero"));
  EXPECT_THAT(error("{{ 9223372036854775807 + 1 }}"), HasSubstr("integer too large"));
  EXPECT_THAT(error("{{ l | tojson(nothing=1) }}"), HasSubstr("'nothing' of tojson"));
  EXPECT_THAT(error("{% break %}"), HasSubstr("'break' outside of a loop"));
}

TEST(JinjaLimits, HostileTemplatesEndInAnError) {
  const ChatLimits small{.steps = 100000, .bytes = 1 << 24};
  EXPECT_THAT(error("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), HasSubstr("too deep"));
  const std::string loops =
      "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}"
      "{% endfor %}{% endfor %}{% endfor %}";
  EXPECT_THAT(error(loops, small), HasSubstr("too many steps"));
  EXPECT_THAT(error("{{ range(100000000) }}"), HasSubstr("range() too large"));
  EXPECT_THAT(error("{{ 'aaaaaaaaaa' * 1000000000 }}", small), HasSubstr("too much text"));
  EXPECT_THAT(error("{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(99) %}"
                    "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
                    small),
              HasSubstr("too much text"));
  EXPECT_THAT(error("{% set ns = namespace(x=1) %}{% for i in range(9999) %}"
                    "{% set ns.x = [ns.x] %}{% endfor %}"),
              HasSubstr("nested too deeply"));
  EXPECT_THAT(error("{{ " + std::string(40000, '(') + "1" + std::string(40000, ')') + " }}"),
              HasSubstr("nested too deeply"));
  std::string sum = "{{ 1";
  for (int i = 0; i < 40000; ++i) sum += " + 1";
  EXPECT_THAT(error(sum + " }}"), HasSubstr("nested too deeply"));
  std::string blocks;
  for (int i = 0; i < 10000; ++i) blocks += "{% if 1 %}";
  EXPECT_THAT(error(blocks), HasSubstr("blocks nested too deeply"));
  EXPECT_THAT(error("{% for x in range(9999) %}{% endfor %}", {.steps = 3}),
              HasSubstr("too many steps"));
}

TEST(JinjaLimits, CyclesThroughNamespacesAreFreed) {
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.me = [ns] %}{% for x in l %}"
                   "{% set ns.loop = loop %}{{ loop.changed(loop) }}{% endfor %}"),
            "TrueFalseFalse");
}

}  // namespace
}  // namespace dms::text
