// The scenario files of `dms report`.

#include "cli/scenario_file.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ScenarioFile read(const std::string& yaml) {
  const testing_support::TempFolder folder;
  return read_scenario_file(folder.write("s.yaml", yaml).string());
}

std::string refusal(const std::string& yaml) {
  return testing_support::input_error([&] { read(yaml); });
}

constexpr const char* kWhole = R"(
title: Small models
output: out
profiles:
  mine:
    - none
    - {policy: snapkv, budget: 12.5%, kv_dtype: "k=int8,v=int4"}
    - streaming:recent_size=60
defaults: {model: models/demo, samples: 3, text: a.txt, max_tokens: 900}
scenarios:
  - name: wiki
    measure: [kld, needle]
    lengths: [512, 1024]
    depths: 50
  - {name: tasks, measure: ruler, tasks: [vt, fwe], profiles: mine, adapter: a}
)";

TEST(ScenarioFile, AMisspeltKeyIsTheFaultAndNotTheMissingOne) {
  const auto expect = [](const std::string& keys, const char* misspelt, const char* meant) {
    testing_support::expect_parts(refusal("scenarios: [{" + keys + "}]"),
                                  {misspelt, "unknown key", meant});
  };
  expect("name: a, model: m, mesure: ppl", "a.mesure", "did you mean measure?");
  expect("name: a, modle: m, measure: ppl", "a.modle", "did you mean model?");
  expect("naem: a, model: m, measure: ppl", "naem", "did you mean name?");
}

TEST(ScenarioFile, EachLengthOfATextIsAnEvaluation) {
  const ScenarioFile file = read(kWhole);
  EXPECT_EQ(file.title, "Small models");
  EXPECT_EQ(file.output, "out");
  ASSERT_EQ(file.scenarios.size(), 2u);
  const Scenario& wiki = file.scenarios[0];
  EXPECT_EQ(wiki.name, "wiki");
  EXPECT_THAT(wiki.profiles, IsEmpty());
  ASSERT_EQ(wiki.parts.size(), 3u);
  EXPECT_EQ(wiki.parts[0].action, "kld");
  EXPECT_EQ(wiki.parts[0].context, 512);
  EXPECT_EQ(wiki.parts[1].context, 1024);
  EXPECT_EQ(wiki.parts[1].max_tokens, 900);
  EXPECT_EQ(wiki.parts[1].text.text_file, "a.txt");
  EXPECT_EQ(wiki.parts[2].action, "needle");
  EXPECT_THAT(wiki.parts[2].lengths, ElementsAre(512, 1024));
  EXPECT_THAT(wiki.parts[2].depths, ElementsAre(50));
  EXPECT_EQ(wiki.parts[2].samples, 3);
  const Scenario& tasks = file.scenarios[1];
  EXPECT_THAT(tasks.profiles, ElementsAre("mine"));
  EXPECT_EQ(tasks.parts.at(0).model_options.adapter, "a");
  EXPECT_THAT(tasks.parts.at(0).tasks, ElementsAre("vt", "fwe"));
}

TEST(ScenarioFile, AScenariosOwnTextIsNotBesideThatOfTheDefaults) {
  const std::string rest = "name: a, model: m, measure: ppl";
  const auto text_of = [&](const std::string& usual, const std::string& own) {
    const std::string yaml = "defaults: {" + usual + "}\nscenarios: [{" + rest + own + "}]\n";
    const PromptSource text = read(yaml).scenarios.at(0).parts.at(0).text;
    return text.text_file + "|" + text.ids_file;
  };
  EXPECT_EQ(text_of("text: t", ""), "t|");
  EXPECT_EQ(text_of("text: t", ", ids: i"), "|i");
  EXPECT_EQ(text_of("ids: i", ", text: t"), "t|");
  EXPECT_EQ(text_of("text: t", ", text: u"), "u|");
}

TEST(ScenarioFile, ProfilesAreThePoliciesOfOneLine) {
  const ScenarioFile file = read(kWhole);
  ASSERT_EQ(file.profiles.size(), 3u);
  EXPECT_EQ(file.profiles[0].name, "balanced");
  EXPECT_EQ(file.profiles[1].name, "quality");
  EXPECT_EQ(file.profiles[2].policies,
            "none,snapkv:budget=12.5%:kv_dtype=k=int8;v=int4,streaming:recent_size=60");
  const auto chosen = choose_profiles(file.profiles, {"mine", "balanced"}, "PROFILES");
  EXPECT_EQ(chosen[0].name, "mine");
  EXPECT_EQ(chosen[1].name, "balanced");
  const auto refused = [&file](const std::vector<std::string>& names) {
    return testing_support::input_error([&] { choose_profiles(file.profiles, names, "PROFILES"); });
  };
  testing_support::expect_parts(refused({"balancd"}),
                                {"PROFILES: unknown", "balancd", "did you mean balanced?"});
  testing_support::expect_parts(refused({"mine", "balanced", "mine"}),
                                {"PROFILES: stands there twice", "mine"});
}

TEST(ScenarioFile, WhatIsWrongIsSaidWithItsLine) {
  const auto expect = [](const std::string& yaml, std::initializer_list<std::string> parts) {
    testing_support::expect_parts(refusal(yaml), parts);
  };
  expect("", {"s.yaml: empty", "scenarios"});
  expect("# nothing\n", {"s.yaml: empty"});
  expect("title: a\n", {"s.yaml: no scenarios"});
  expect("scenarios: []\n", {"s.yaml: no scenarios"});
  expect("scenarios: 3\n", {"s.yaml:1: scenarios", "got 3", "a list"});
  expect("scenarois: []\n", {"s.yaml:1: scenarois", "unknown key", "'scenarios'"});
  expect("a: [\n", {"s.yaml:", "malformed YAML"});
  const std::string begin = "scenarios:\n- name: a\n";
  expect("scenarios:\n- model: m\n", {"s.yaml:2: scenario.name", "missing"});
  expect("scenarios:\n- name: a/b\n", {"s.yaml:2: a/b.name", "bad value", "letters"});
  expect("scenarios:\n- name: report.html\n",
         {"s.yaml:2: report.html.name", "file of the report", "another name"});
  expect(begin, {"a.measure", "missing", "ppl, kld, needle"});
  expect(begin + "  measure: klt\n", {"s.yaml:3: a.measure", "'klt'", "did you mean kld?"});
  expect(begin + "  measure: [ppl, kld, ppl]\n", {"s.yaml:3: a.measure", "ppl stands there twice"});
  expect(begin + "  measure: needle\n", {"a.model", "missing"});
  const std::string kld = begin + "  measure: kld\n  model: m\n";
  expect(kld, {"a.text", "missing"});
  for (const char* key : {"text", "ids"}) {
    expect(kld + "  " + key + ": '-'\n", {"s.yaml:5: a.", key, "standard input", "a file"});
  }
  expect(kld + "  text: t\n  ids: i\n",
         {"s.yaml:6: a.ids", "stands beside text", "one of the two"});
  expect("defaults: {text: t, ids: i}\n" + kld, {"s.yaml:1: a.ids", "stands beside text"});
  const std::string needle = begin + "  measure: needle\n  model: m\n";
  expect(needle + "  lenghts: 9\n", {"s.yaml:5: a.lenghts", "unknown key", "'lengths'"});
  expect(needle + "  lengths: 1\n", {"s.yaml:5: a.lengths", "got 1", "2 to"});
  expect(needle + "  lengths: [8, many]\n", {"a.lengths", "got many"});
  expect(needle + "  lengths: [8, 9, 8]\n", {"a.lengths", "8 stands there twice"});
  expect(needle + "  lengths: []\n", {"a.lengths", "an empty list"});
  expect(needle + "  depths: 101\n", {"a.depths", "got 101", "0 to 100"});
  expect(needle + "  samples: -1\n", {"a.samples", "got -1"});
  expect(needle + "  haystack: /dev/stdin\n", {"s.yaml:5: a.haystack", "standard input"});
  expect(needle + "  text: t\n", {"s.yaml:5: a.text", "no key of needle"});
  expect(needle + "  profiles: blanced\n", {"a.profiles", "blanced", "did you mean balanced?"});
  expect(needle + "  profiles: [quality, quality]\n", {"a.profiles", "stands there twice"});
  expect(needle + "- name: a\n  measure: needle\n  model: m\n", {"s.yaml:5", "same name", "a"});
  expect(needle + "profiles:\n  p: []\n", {"s.yaml:6: profiles.p", "empty list"});
  expect(needle + "profiles:\n  p:\n  - {budget: 3}\n", {"policy", "missing"});
  expect(needle + "profiles:\n  p:\n  - none\n  - random:cr=3\n  - {policy: none}\n",
         {"s.yaml:9: profiles.p", "none stands there twice"});
  expect(needle + "profiles:\n  p: ['none,random:cr=3', none]\n", {"none stands there twice"});
  expect(needle + "output: [a]\n", {"s.yaml:5: output", "got a list"});
  expect(needle + "profile: {}\n", {"s.yaml:5: profile", "unknown key", "'profiles'"});
}

TEST(ScenarioFile, TheVariableDefinesThemAsPairs) {
  const auto scenarios = parse_scenarios(
      "name=a model=m measure=ppl,needle text=t.txt lengths=64,128 ; name=b model=m measure=ruler",
      "SCENARIOS");
  ASSERT_EQ(scenarios.size(), 2u);
  ASSERT_EQ(scenarios[0].parts.size(), 3u);
  EXPECT_EQ(scenarios[0].parts[1].context, 128);
  EXPECT_EQ(scenarios[1].name, "b");
  const auto refused = [](const std::string& text) {
    return testing_support::input_error([&] { parse_scenarios(text, "SCENARIOS"); });
  };
  testing_support::expect_parts(refused("name=a model"), {"SCENARIOS", "got model", "key=value"});
  testing_support::expect_parts(refused("name=a model=m measure=needle sample=3"),
                                {"SCENARIOS: a.sample", "unknown key", "'samples'"});
  const std::string one = "name=a model=m measure=needle";
  testing_support::expect_parts(refused(one + ";" + one), {"SCENARIOS: two of the same name", "a"});
  testing_support::expect_parts(refused(one + " name=b"),
                                {"SCENARIOS: key 'name' stands here twice"});
}

TEST(ScenarioFile, ABashArrayHasAScenarioInEachPairOfQuotes) {
  const auto names = [](const std::string& text) {
    std::vector<std::string> found;
    for (const Scenario& one : parse_scenarios(text, "SCENARIOS")) found.push_back(one.name);
    return found;
  };
  const std::string rest = " model=m measure=needle lengths=300";
  const auto both = ElementsAre("x", "y");
  EXPECT_THAT(names("(\"name=x" + rest + "\" \"name=y" + rest + "\")"), both);
  EXPECT_THAT(names(" (\n\t'name=x" + rest + "'\n\t\"name=y" + rest + "\"\n)\n"), both);
  EXPECT_THAT(names("(name=x" + rest + "; \"name=y" + rest + "\")"), both);
  EXPECT_THAT(names("(\"name=x" + rest + "\")"), ElementsAre("x"));
  const std::string error = testing_support::input_error(
      [&] { parse_scenarios("(\"name=x" + rest + "\" \"name=y)", "SCENARIOS"); });
  testing_support::expect_parts(error, {"SCENARIOS: a quote without its end", "got \"name=y"});
}

TEST(ScenarioFile, BracketsAndQuotesOfAPathAreItsOwn) {
  const std::string path = "it's_w(t).txt";
  const std::string one = "name=x model=m(1) measure=ppl text=" + path;
  for (const std::string& text : {one, "(\"" + one + "\")", "(" + one + ")"}) {
    const auto scenarios = parse_scenarios(text, "SCENARIOS");
    ASSERT_EQ(scenarios.size(), 1u) << text;
    EXPECT_EQ(scenarios[0].parts.at(0).text.text_file, path);
    EXPECT_EQ(scenarios[0].parts.at(0).model, "m(1)");
  }
}

}  // namespace
}  // namespace dms::cli
