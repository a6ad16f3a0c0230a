// Collective operations of a warp: shuffles, votes, reductions.

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "cuda_emulator/runtime/sanitizers.h"
#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {
namespace {

const char* const kWarpSync = "bar.warp";

template <class F>
void for_each_lane(const Collective& collective, F function) {
  for (u32 lane = 0; lane < 32; lane++) {
    if (collective.has(lane)) function(lane);
  }
}

void order_lanes(Warp& warp, const Collective& collective) {
  Clock all;
  for_each_lane(collective, [&](u32 lane) { join(all, clock_of(warp.lanes[lane])); });
  for_each_lane(collective, [&](u32 lane) {
    clock_of(warp.lanes[lane]) = all;
    tick(warp.lanes[lane]);
  });
}

void finish_collective(Thread* by, Warp& warp, size_t index, const Thread* self) {
  Collective collective = warp.pending[index];
  warp.pending.erase(warp.pending.begin() + static_cast<ptrdiff_t>(index));
  if (collective.complete) collective.complete(by, collective);
  if (race_check_is_on && !std::strcmp(collective.name, kWarpSync)) order_lanes(warp, collective);
  by->block->cluster->progress++;
  for_each_lane(collective, [&](u32 lane) {
    if (warp.lanes[lane] != self) make_ready(warp.lanes[lane]);
  });
}

template <class T>
T& slot(const Collective& collective, u32 lane) {
  return *static_cast<T*>(collective.slots[lane]);
}

struct Shuffle {
  char mode;
  u32 value, b, c;
  u32 result = 0;
  bool predicate = false;
};

/// Lane that a lane reads from, as PTX defines it; is_inside: it lies in the lane's segment.
u32 source_lane(const Shuffle& shuffle, u32 lane, bool& is_inside) {
  const u32 b = shuffle.b & 31, clamp = shuffle.c & 31, segment = shuffle.c >> 8 & 31;
  const i32 limit = static_cast<i32>((lane & segment) | (clamp & ~segment));
  const i32 self = static_cast<i32>(lane);
  i32 source = 0;
  switch (shuffle.mode) {
    case 'u':
      source = self - static_cast<i32>(b);
      break;
    case 'd':
      source = self + static_cast<i32>(b);
      break;
    case 'b':
      source = static_cast<i32>(lane ^ b);
      break;
    default:
      source = static_cast<i32>((lane & segment) | (b & ~segment));
  }
  is_inside = shuffle.mode == 'u' ? source >= limit : source <= limit;
  return is_inside ? static_cast<u32>(source) : lane;
}

void complete_shuffle(Thread* by, Collective& collective) {
  for_each_lane(collective, [&](u32 lane) {
    Shuffle& shuffle = slot<Shuffle>(collective, lane);
    const u32 source = source_lane(shuffle, lane, shuffle.predicate);
    if (!collective.has(source)) fail(by, "shfl: lane %u reads inactive lane %u", lane, source);
    shuffle.result = slot<Shuffle>(collective, source).value;
  });
}

struct Vote {
  char mode;
  bool value;
  u32 result = 0;
};

void complete_vote(Thread*, Collective& collective) {
  u32 ballot = 0;
  for_each_lane(collective, [&](u32 lane) {
    ballot |= static_cast<u32>(slot<Vote>(collective, lane).value) << lane;
  });
  for_each_lane(collective, [&](u32 lane) {
    Vote& vote = slot<Vote>(collective, lane);
    switch (vote.mode) {
      case 'b':
        vote.result = ballot;
        break;
      case 'a':
        vote.result = ballot == collective.arrived;
        break;
      case 'o':
        vote.result = ballot != 0;
        break;
      default:
        vote.result = ballot == 0 || ballot == collective.arrived;
    }
  });
}

struct Reduction {
  std::string_view name;
  bool is_signed;
  u32 value;
};

u32 reduce(const Reduction& reduction, u32 a, u32 b) {
  const bool is_less = reduction.is_signed ? static_cast<i32>(a) < static_cast<i32>(b) : a < b;
  if (reduction.name == "add") return a + b;
  if (reduction.name == "and") return a & b;
  if (reduction.name == "or") return a | b;
  if (reduction.name == "xor") return a ^ b;
  return (reduction.name == "min") == is_less ? a : b;
}

void complete_reduction(Thread*, Collective& collective) {
  bool is_first = true;
  u32 result = 0;
  for_each_lane(collective, [&](u32 lane) {
    const Reduction& reduction = slot<Reduction>(collective, lane);
    result = is_first ? reduction.value : reduce(reduction, result, reduction.value);
    is_first = false;
  });
  for_each_lane(collective, [&](u32 lane) { slot<Reduction>(collective, lane).value = result; });
}

struct Match {
  u64 value;
  u32 lanes = 0;
};

void complete_match(Thread*, Collective& collective) {
  for_each_lane(collective, [&](u32 lane) {
    Match& match = slot<Match>(collective, lane);
    for_each_lane(collective, [&](u32 other) {
      if (slot<Match>(collective, other).value == match.value) match.lanes |= 1u << other;
    });
  });
}

void complete_election(Thread*, Collective& collective) {
  for_each_lane(collective, [&](u32 lane) {
    slot<u32>(collective, lane) = static_cast<u32>(__builtin_ctz(collective.arrived));
  });
}

}  // namespace

void collect(Thread* self,
             u32 site,
             u32 mask,
             const char* name,
             bool is_aligned,
             void* slot,
             void (*complete)(Thread*, Collective&)) {
  Warp& warp = *self->warp;
  self->site = site;
  if (!(mask >> self->lane & 1)) {
    fail(self, "%s: lane %u is not in its own mask %08x", name, self->lane, mask);
  }
  const auto is_mine = [&](const Collective& other) {
    return other.name == name && other.mask == mask && !other.has(self->lane);
  };
  auto found = std::ranges::find_if(warp.pending, is_mine);
  if (found == warp.pending.end()) {
    warp.pending.push_back({mask, 0, name, site, {}, complete});
    found = std::prev(warp.pending.end());
  }
  if (is_aligned && found->site != site) {
    fail(self,
         "%s.aligned executed divergently (other lanes at line %d)",
         name,
         self->launch->kernel->sites[found->site].line);
  }
  found->arrived |= 1u << self->lane;
  found->slots[self->lane] = slot;
  if (found->arrived == (mask & warp.live)) {
    finish_collective(self, warp, static_cast<size_t>(found - warp.pending.begin()), self);
  } else {
    block_on(self, name);
  }
}

void leave_collectives(Thread* self) {
  Warp& warp = *self->warp;
  for (size_t i = 0; i < warp.pending.size();) {
    const Collective& collective = warp.pending[i];
    if (collective.arrived && collective.arrived == (collective.mask & warp.live)) {
      finish_collective(warp.lanes[__builtin_ctz(collective.arrived)], warp, i, nullptr);
    } else {
      i++;
    }
  }
}

u32 shfl(Thread* self, u32 site, char mode, u32 value, u32 b, u32 c, u32 mask, bool* predicate) {
  const char* const name = mode == 'i'   ? "shfl.idx"
                           : mode == 'b' ? "shfl.bfly"
                           : mode == 'd' ? "shfl.down"
                                         : "shfl.up";
  Shuffle shuffle{mode, value, b, c};
  collect(self, site, mask, name, false, &shuffle, complete_shuffle);
  if (predicate) *predicate = shuffle.predicate;
  return shuffle.result;
}

u32 vote(Thread* self, u32 site, char mode, bool value, u32 mask) {
  const char* const name = mode == 'a'   ? "vote.all"
                           : mode == 'o' ? "vote.any"
                           : mode == 'u' ? "vote.uni"
                                         : "vote.ballot";
  Vote vote{mode, value};
  collect(self, site, mask, name, false, &vote, complete_vote);
  return vote.result;
}

u32 redux(Thread* self, u32 site, const char* name, u32 value, u32 mask, bool is_signed) {
  Reduction reduction{name, is_signed, value};
  collect(self, site, mask, "redux", false, &reduction, complete_reduction);
  return reduction.value;
}

u32 match_any(Thread* self, u32 site, u64 value, u32 mask) {
  Match match{value};
  collect(self, site, mask, "match.any", false, &match, complete_match);
  return match.lanes;
}

u32 match_all(Thread* self, u32 site, u64 value, u32 mask, bool* predicate) {
  Match match{value};
  collect(self, site, mask, "match.all", false, &match, complete_match);
  *predicate = match.lanes == mask;
  return *predicate ? mask : 0;
}

u32 elect(Thread* self, u32 site, u32 mask, bool* predicate) {
  u32 leader = 0;
  collect(self, site, mask, "elect", false, &leader, complete_election);
  *predicate = leader == self->lane;
  return leader;
}

void bar_warp_sync(Thread* self, u32 site, u32 mask) {
  tsan_release(self->warp);
  collect(self, site, mask, kWarpSync, false, nullptr, nullptr);
  tsan_acquire(self->warp);
}

// Legal and the least helpful answer: code must not rely on more.
u32 activemask(Thread* self) { return 1u << self->lane; }

}  // namespace cuda_emulator
