#include "train/agreement.h"

#include <filesystem>
#include <new>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dms/error.h"
#include "support/errors.h"
#include "train/thread_ranks.h"

namespace dms::train {
namespace {

using fixture::ThreadRanks;
using testing_support::expect_parts;

constexpr int64_t kRanks = 3;

/// How work ends on a rank: the kind of its exception and what it says.
struct End {
  std::string kind = "none";
  std::string text{};
};

End end_of(const std::function<void()>& work) {
  try {
    work();
    return {};
  } catch (const InputError& error) {
    return {"input", error.what()};
  } catch (const RunError& error) {
    return {"run", error.what()};
  } catch (...) {
    return {"other", describe(std::current_exception())};
  }
}

/// One meeting of ranks of which `failing` do `work`; each rank's end.
std::vector<End> meet(const std::vector<int64_t>& failing, const std::function<void()>& work) {
  std::vector<End> ends(kRanks);
  ThreadRanks(kRanks).run([&](Communicator& ranks) {
    const bool fails = std::ranges::find(failing, ranks.rank()) != failing.end();
    ends[static_cast<size_t>(ranks.rank())] = end_of([&] {
      all_or_none(ranks, [&] {
        if (fails) work();
      });
    });
  });
  return ends;
}

TEST(Agreement, NothingHappensWhereAllSucceed) {
  for (const End& end : meet({}, [] {})) EXPECT_EQ(end.kind, "none") << end.text;
}

struct Thrown {
  const char* name;
  std::function<void()> work;
  const char* kind;   // on the rank that failed
  const char* kinds;  // on the others
  const char* says;
};

class AnyException : public ::testing::TestWithParam<Thrown> {};

// A rank that is not told waits for the one that failed, and this test for it.
TEST_P(AnyException, OnOneRankEndsAllWithItsMessage) {
  const Thrown& thrown = GetParam();
  for (int64_t failing = 0; failing < kRanks; ++failing) {
    const std::vector<End> ends = meet({failing}, thrown.work);
    for (int64_t rank = 0; rank < kRanks; ++rank) {
      const End& end = ends[static_cast<size_t>(rank)];
      EXPECT_EQ(end.kind, rank == failing ? thrown.kind : thrown.kinds) << rank << ": " << end.text;
      expect_parts(end.text, {thrown.says});
      if (rank != failing) expect_parts(end.text, {"rank " + std::to_string(failing) + ": "});
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds,
    AnyException,
    ::testing::Values(
        Thrown{"BadInput",
               [] { throw InputError({.where = "x.json", .what = "is bad"}); },
               "input",
               "input",
               "x.json: is bad"},
        Thrown{"FailedRun",
               [] { throw RunError({.where = "disk", .what = "is full"}); },
               "run",
               "run",
               "disk: is full"},
        Thrown{
            "NoMemory", [] { throw std::bad_alloc(); }, "other", "run", "memory: the system has"},
        Thrown{"FileSystem",
               [] { (void)std::filesystem::file_size("/no such file"); },
               "other",
               "run",
               "/no such file"},
        Thrown{"LibTorch",
               [] { static_cast<void>(at::zeros({2}) + at::zeros({3})); },
               "other",
               "run",
               "internal error: The size of tensor"},
        Thrown{"LibTorchsMemory",
               [] { at::empty({int64_t{1} << 60}, at::kByte); },
               "other",
               "run",
               "memory: the system has"},
        Thrown{"NoKind", [] { throw 7; }, "other", "run", "an exception of no kind"}),
    [](const auto& item) { return std::string(item.param.name); });

TEST(Agreement, WhereSeveralFailEachTellsItsOwn) {
  std::vector<End> ends(kRanks);
  ThreadRanks(kRanks).run([&](Communicator& ranks) {
    const std::string own = "fault of " + std::to_string(ranks.rank());
    ends[static_cast<size_t>(ranks.rank())] = end_of([&] {
      all_or_none(ranks, [&] {
        if (ranks.rank() > 0) throw RunError({.where = own, .what = "failed"});
      });
    });
  });
  expect_parts(ends[0].text, {"rank 1: fault of 1: failed"});
  expect_parts(ends[1].text, {"fault of 1"});
  expect_parts(ends[2].text, {"fault of 2"});
}

}  // namespace
}  // namespace dms::train
