// Which policies a chart joins by a line, and what it calls them.

#include "eval/series.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dms::eval {
namespace {

using testing::ElementsAre;

std::vector<std::string> names(const std::vector<std::string>& labels) {
  std::vector<std::string> names;
  for (const SeriesPlace& place : series_of(labels)) names.push_back(place.series);
  return names;
}

/// Whether a line goes through both.
bool joined(const std::string& a, const std::string& b) {
  const std::vector<SeriesPlace> places = series_of({a, b});
  return places[0].series == places[1].series &&
         std::ranges::find_first_of(places[0].lines, places[1].lines) != places[0].lines.end();
}

TEST(Series, ALineJoinsSizesOfOnePolicy) {
  EXPECT_TRUE(joined("random:cr=2", "random:cr=8"));
  EXPECT_TRUE(joined("snapkv:budget=25%", "snapkv:budget=12.5%"));
  EXPECT_TRUE(joined("kvzap", "kvzap:threshold=-2"));
  EXPECT_TRUE(joined("adms:recent_size=25%:max_seq_length=9", "adms:recent_size=12%"));
  EXPECT_TRUE(joined("dms:adapter=a:window=16", "dms:adapter=a/:window=32"));
  EXPECT_FALSE(joined("random:cr=2", "snapkv:budget=2"));
  EXPECT_FALSE(joined("snapkv:budget=9", "snapkv:budget=8:window_size=4"));
}

TEST(Series, WhatDiffersInTwoThingsIsNotJoined) {
  EXPECT_TRUE(joined("none", "none:kv_dtype=int8"));
  EXPECT_TRUE(joined("dms:cr=8", "dms:cr=8:kv_dtype=k=int8;v=int4:kv_exact_layers=1"));
  EXPECT_FALSE(joined("dms:cr=8", "dms:cr=4:kv_dtype=int8"));
  EXPECT_TRUE(joined("dms:cr=8:kv_dtype=int8", "dms:cr=4:kv_dtype=int8"));
  // They look alike all the same.
  EXPECT_THAT(names({"dms:cr=8", "dms:cr=4:kv_dtype=int8"}), ElementsAre("dms", "dms"));
}

TEST(Series, AdaptersAreDifferentThings) {
  EXPECT_FALSE(joined("dms:adapter=m/dms-4x", "dms:adapter=m/dms-8x"));
  EXPECT_FALSE(joined("dms", "dms:adapter=m/dms-8x"));
  EXPECT_THAT(names({"dms:adapter=m/smol-dms-4x",
                     "dms:adapter=m/smol-dms-8x-w256:kv_dtype=int8",
                     "kvzap:adapter=m/smol-kvzap",
                     "dms:adapter=m/smol-dms-8x"}),
              ElementsAre("dms 4x", "dms 8x-w256", "kvzap", "dms 8x"));
  EXPECT_THAT(names({"dms", "dms:adapter=m/dms-8x/"}), ElementsAre("dms", "dms dms-8x"));
  EXPECT_THAT(names({"dms", "dms:adapter=m/a", "dms:adapter=n/a"}),
              ElementsAre("dms", "dms m/a", "dms n/a"));
  // One name is the other's beginning; a separator alone tells them apart.
  EXPECT_THAT(names({"kvzap:adapter=zap", "kvzap:adapter=zap-mlp"}),
              ElementsAre("kvzap zap", "kvzap zap-mlp"));
  EXPECT_THAT(names({"dms:adapter=x-a-b", "dms:adapter=x-a_b"}),
              ElementsAre("dms x-a-b", "dms x-a_b"));
}

}  // namespace
}  // namespace dms::eval
