// Whatever a template does over and over on long values ends in an error, by a count, before it has
// taken more than a few times the memory it is allowed; and what long conversations need is far
// from that.

#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/peak_memory.h"
#include "text/chat_template.h"
#include "text/jinja/budget.h"

namespace dms::text {
namespace {

using dms::testing_support::expect_parts;
using dms::testing_support::held_bytes;
using dms::testing_support::input_error;
using dms::testing_support::peak_of;
using testing::AnyOf;
using testing::HasSubstr;

struct Bomb {
  std::string name;
  std::string source;
};

void PrintTo(const Bomb& bomb, std::ostream* out) { *out << bomb.name; }

/// `body`, over and over, beside long texts, lists and dicts that are equal but not the same.
Bomb over_and_over(const std::string& name, const std::string& body) {
  return {name,
          "{% set s = 'ab' * 200000 %}{% set t = 'ab' * 200000 %}"
          "{% set tail = 'ab' * 100000 ~ 'a' %}"
          "{% set l = range(20000) | list %}{% set m = range(20000) | list %}"
          "{% set d = dict(range(20000) | map('string') | list | batch(2)) %}"
          "{% set ns = namespace(x=0, l=[], d={}) %}"
          "{% for a in range(99999) %}{% for b in range(99999) %}" +
              body + "{% endfor %}{% endfor %}"};
}

/// An expression, over and over.
Bomb expression(const std::string& name, const std::string& text) {
  return over_and_over(name, "{% if (" + text + ") is none %}{% endif %}");
}

/// Pairs of pairs of pairs …: few objects that spell out to 2^60 parts.
Bomb shared_pairs(const std::string& name, const std::string& text) {
  return {name,
          "{% set ns = namespace(a=(1, 2), b=(1, 2), l=[1], m=[1]) %}{% for i in range(60) %}"
          "{% set ns.a = (ns.a, ns.a) %}{% set ns.b = (ns.b, ns.b) %}"
          "{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ " +
              text + " }}"};
}

class JinjaBudget : public testing::TestWithParam<Bomb> {};

TEST_P(JinjaBudget, EndsByACountAndInItsMemory) {
  // A tenth of the steps and a quarter of the bytes that are usual: so many bombs take their time.
  constexpr ChatLimits kLimits{.steps = 1'000'000, .bytes = int64_t{16} << 20};
  // Growing texts and lists are twice what they hold, three times while they move.
  constexpr int64_t kMost = 4 * kLimits.bytes;
  const int64_t before = held_bytes;
  std::string error;
  const int64_t peak = peak_of([&] {
    error = input_error([&] {
      ChatTemplate(GetParam().source, "bomb.jinja")
          .render({.messages = ChatJson::array()}, kLimits);
    });
  });
  EXPECT_THAT(error, HasSubstr("bomb.jinja: line 1: "));
  EXPECT_THAT(error, AnyOf(HasSubstr("too many steps"), HasSubstr("too much text")));
  EXPECT_LE(peak, kMost);
  EXPECT_LE(held_bytes, before + (1 << 16)) << "kept after the rendering";
}

const auto kName = [](const auto& test) { return test.param.name; };

INSTANTIATE_TEST_SUITE_P(Search,
                         JinjaBudget,
                         testing::Values(expression("in", "tail ~ 'x' in s"),
                                         expression("in_text", "tail in s"),
                                         expression("find", "s.find(tail)"),
                                         expression("rfind", "s.rfind('x' ~ tail)"),
                                         expression("rfind_in_little", "'a'.rfind(s)"),
                                         expression("count", "s.count('x')"),
                                         expression("count_many", "s.count('a')"),
                                         expression("replace_nothing", "s.replace('x', 'y')"),
                                         expression("replace_between", "s.replace('', 'y')"),
                                         expression("replace_filter", "s | replace('a', t)"),
                                         expression("split", "s.split('x')"),
                                         expression("split_much", "s.split('a')"),
                                         expression("rsplit", "s.rsplit('a')"),
                                         expression("split_space", "s.split()"),
                                         expression("splitlines", "s.splitlines()"),
                                         expression("partition", "s.partition(tail)"),
                                         expression("rpartition", "s.rpartition('x')"),
                                         expression("startswith", "s.startswith(t)"),
                                         expression("endswith", "s.endswith((t, t, t))"),
                                         expression("removeprefix", "s.removeprefix('x')"),
                                         expression("strip_set", "s.strip('ab')"),
                                         expression("strip_long_set", "s.strip(t)"),
                                         expression("strip_wide_set",
                                                    "'a'.strip('\u00e9\U0010ffff')"),
                                         expression("trim", "s | trim"),
                                         expression("equal", "s == t"),
                                         expression("unequal", "s != t"),
                                         expression("less", "s < t"),
                                         expression("in_list", "-1 in l"),
                                         expression("list_count", "l.count(-1)"),
                                         expression("list_index", "l.index(19999)"),
                                         expression("equal_lists", "l == m"),
                                         expression("less_lists", "l < m"),
                                         expression("texts_in_list", "s in [t, t, t]"),
                                         expression("key", "s in d"),
                                         expression("get", "d.get(s)"),
                                         expression("item", "d[s]"),
                                         expression("equal_dicts", "d == dict(d)")),
                         kName);

INSTANTIATE_TEST_SUITE_P(Walks,
                         JinjaBudget,
                         testing::Values(expression("length", "s | length"),
                                         expression("character", "s[-1]"),
                                         expression("slice", "s[1:-1]"),
                                         expression("slice_steps", "s[::2]"),
                                         expression("first", "s | first"),
                                         expression("characters", "s | list"),
                                         expression("reverse", "s | reverse"),
                                         expression("upper", "s | upper"),
                                         expression("title", "s | title"),
                                         expression("title_method", "s.title()"),
                                         expression("capitalize", "s.capitalize()"),
                                         expression("islower", "s.islower()"),
                                         expression("isalpha", "s.isalpha()"),
                                         expression("is_upper", "s is upper"),
                                         expression("to_int", "s | int"),
                                         expression("to_float", "s | float"),
                                         expression("indent", "s | indent"),
                                         expression("tojson", "s | tojson"),
                                         expression("tojson_dict", "d | tojson(sort_keys=true)"),
                                         expression("tojson_indent", "[l] | tojson(indent=900)"),
                                         expression("format", "s.format(1)"),
                                         expression("percent", "s % {}"),
                                         expression("percent_value", "'%s%r' % (s, s)"),
                                         expression("join", "s.join('abcdef')"),
                                         expression("join_filter", "l | join(s)"),
                                         expression("concat", "s ~ t"),
                                         expression("plus", "s + t"),
                                         expression("html", "('<' * 200000) | safe + s"),
                                         expression("times", "s * 1000"),
                                         expression("list_times", "l * 1000"),
                                         expression("list_plus", "l + m"),
                                         expression("list_slice", "l[1:]"),
                                         expression("as_text", "l | string"),
                                         expression("repr", "[s, s] | string"),
                                         expression("sort", "l | sort"),
                                         expression("sort_texts", "[s, t] | sort"),
                                         expression("dictsort", "d | dictsort"),
                                         expression("unique", "l | unique"),
                                         expression("unique_texts", "[s, t, s] | unique"),
                                         expression("smallest", "l | min"),
                                         expression("sum", "l | sum"),
                                         expression("map", "l | map('string')"),
                                         expression("select_in", "l | select('in', m)"),
                                         expression("select", "l | select('odd')"),
                                         expression("batch", "l | batch(2)"),
                                         expression("batch_fill", "[1] | batch(9999999, 0)"),
                                         expression("items", "d.items()"),
                                         expression("items_filter", "d | items"),
                                         expression("keys", "d.keys()"),
                                         expression("copy", "dict(d)"),
                                         expression("zfill", "s.zfill(500000)"),
                                         expression("center", "'a'.center(99999999)"),
                                         expression("range", "range(99999)"),
                                         expression("long_path", "[d] | map(attribute=s) | list"),
                                         expression("unpacked", "dict(**d)"),
                                         expression("unpacked_list", "'a'.join(*[l])")),
                         kName);

INSTANTIATE_TEST_SUITE_P(
    Statements,
    JinjaBudget,
    testing::Values(over_and_over("changed", "{{ loop.changed(s ~ '') }}"),
                    over_and_over("namespaces", "{% set x = namespace(a=1) %}"),
                    over_and_over("variables", "{% set x = 1 %}{% macro f() %}{% endmacro %}"),
                    over_and_over("calls", "{% macro f() %}{{ varargs }}{% endmacro %}{{ f(*l) }}"),
                    over_and_over("named", "{% macro f() %}{{ kwargs }}{% endmacro %}{{ f(**d) }}"),
                    over_and_over("unpack", "{% set x, y = l[:2] %}{% for i in l %}{% endfor %}"),
                    over_and_over("lengths",
                                  "{% for i in l if i %}{{ loop.length }}{% break %}{% endfor %}"),
                    over_and_over("block", "{% set x %}{{ s }}{% endset %}"),
                    over_and_over("filter_block", "{% filter upper %}{{ s }}{% endfilter %}"),
                    over_and_over("kept_methods", "{% set ns.l = ns.l + [s.strip] %}"),
                    over_and_over("kept_list", "{% set ns.l = ns.l + [missing] %}"),
                    over_and_over("output", "{{ s }}"),
                    over_and_over("doubling", "{% set ns.x = ns.x ~ ns.x ~ 'x' %}"),
                    Bomb{"recursion_with_arguments",
                         "{% macro f(n) %}{{ f(*varargs) }}{% endmacro %}{{ f(*range(99999)) }}"}),
    kName);

INSTANTIATE_TEST_SUITE_P(SharedParts,
                         JinjaBudget,
                         testing::Values(shared_pairs("tuples_equal", "ns.a == ns.b"),
                                         shared_pairs("lists_equal", "ns.l == ns.m"),
                                         shared_pairs("less", "ns.a < ns.b"),
                                         shared_pairs("key", "{ns.a: 1}"),
                                         shared_pairs("lookup", "{1: 2}[ns.a]"),
                                         shared_pairs("member", "ns.a in [ns.b]"),
                                         shared_pairs("text", "ns.a | string"),
                                         shared_pairs("tojson", "ns.l | tojson"),
                                         shared_pairs("unique", "[ns.a] | unique")),
                         kName);

TEST(JinjaSource, LongTemplatesAndNamesAreRefused) {
  std::string tokens = "{{ [";
  for (int i = 0; i < 60'000; ++i) tokens += "0,";
  const auto error = [](const std::string& source) {
    return input_error([&] { ChatTemplate(source, "t"); });
  };
  expect_parts(error(tokens + "] }}"), {"t: line 1", "too long", "at most 100000 tokens"});
  expect_parts(error("{{ " + std::string(300, 'a') + " }}"),
               {"t: line 1", "name too long", "got 300", "at most 256"});
}

TEST(JinjaSource, LongMessagesAreShortened) {
  const ChatTemplate chat("{{ raise_exception('x' * 1000000) }}", "t");
  EXPECT_LE(input_error([&] { chat.render({}); }).size(), 1100u);
}

/// As published templates do it: ChatML; reasoning cut from all but the last answers, with searches
/// and splits of every text; and one that trims, checks the order and writes by macro.
constexpr const char* kChatMl =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}";
constexpr const char* kReasoning =
    "{%- set ns = namespace(last=messages|length - 1, looking=true) %}"
    "{%- for m in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}"
    "{%- if ns.looking and m.role == 'user' and not (m.content.startswith('<tool>') and "
    "m.content.endswith('</tool>')) %}{%- set ns.looking = false %}{%- set ns.last = index %}"
    "{%- endif %}{%- endfor %}"
    "{%- for m in messages %}{%- set content = m.content if m.content is string else '' %}"
    "{%- if m.role == 'assistant' %}{%- set reasoning = '' %}{%- if '</think>' in content %}"
    "{%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1]"
    ".lstrip('\\n') %}{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
    "{{- '<|im_start|>' + m.role + '\\n' + content.strip() + reasoning }}"
    "{%- else %}{{- '<|im_start|>' + m.role + '\\n' + content }}{%- endif %}"
    "{{- '<|im_end|>\\n' }}{%- endfor %}";
constexpr const char* kTrimming =
    "{% macro turn(role, text) %}[{{ role }}]{{ text | trim }}[/{{ role }}]{% endmacro %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('alternate') }}{% endif %}"
    "{{ turn(m.role, m.content | replace('\\r\\n', '\\n')) }}"
    "{% if loop.index0 == loop.length - 1 %}!{% endif %}{% endfor %}";

ChatJson long_conversation() {
  ChatJson messages = ChatJson::array();
  std::string text;
  for (int i = 0; text.size() < 1000; ++i) text += "word " + std::to_string(i) + ", ";
  for (int i = 0; i < 500; ++i) {
    messages.push_back({{"role", "user"}, {"content", text + text}});
    messages.push_back({{"role", "assistant"}, {"content", "<think>" + text + "</think>" + text}});
  }
  return messages;
}

TEST(LongConversations, StayFarInside) {
  const ChatJson messages = long_conversation();
  for (const char* source : {kChatMl, kReasoning, kTrimming}) {
    const ChatTemplate chat(source, "t");
    // Nothing but what the messages themselves bring with them.
    const ChatLimits none{.steps = 0, .bytes = 0};
    EXPECT_GT(chat.render({.messages = messages}, none).size(), 1'000'000u) << source;
  }
}

}  // namespace
}  // namespace dms::text
