// Sectors and wavefronts that warps' accesses need, by site.

#include <algorithm>
#include <set>

#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {

bool profile_is_on = false;

namespace {

constexpr u64 kSectorShift = 5;  // 32 bytes

// Key of Worker::accesses: warp in the cluster << 52 | site << 32 | visit.
constexpr int kWarpShift = 52, kSiteShift = 32;
constexpr u64 kSiteMask = 0xfffff;

bool is_shared_site(const Launch& launch, u32 site) {
  const char kind = launch.kernel->sites[site].kind;
  return kind == 's' || kind == 'S';
}

SiteCounts sectors(const WarpAccess& access) {
  std::set<u64> touched, starts;
  for (u32 lane = 0; lane < 32; lane++) {
    if (!(access.mask >> lane & 1)) continue;
    const u64 begin = access.addresses[lane], last = begin + access.size - 1;
    starts.insert(begin);
    for (u64 s = begin >> kSectorShift; s <= last >> kSectorShift; s++) touched.insert(s);
  }
  return {1, touched.size(), (starts.size() * access.size + 31) / 32};
}

/// Shared memory serves 32 words of 4 bytes from 32 banks at a time, so 16-byte accesses of 8
/// lanes.
SiteCounts wavefronts(const WarpAccess& access) {
  const u32 lanes_at_once = access.size >= 16 ? 8 : access.size == 8 ? 16 : 32;
  SiteCounts counts{1, 0, 0};
  for (u32 first = 0; first < 32; first += lanes_at_once) {
    std::set<u64> words[32];  // [bank]
    for (u32 lane = first; lane < first + lanes_at_once; lane++) {
      if (!(access.mask >> lane & 1)) continue;
      const u64 begin = access.addresses[lane], last = begin + access.size - 1;
      for (u64 word = begin >> 2; word <= last >> 2; word++) words[word & 31].insert(word);
    }
    size_t most = 0;
    for (const auto& bank : words) most = std::max(most, bank.size());
    counts.units += most;
    counts.ideal += most > 0;
  }
  return counts;
}

}  // namespace

void count_warp_access(Worker& worker, u32 site, const WarpAccess& access, bool is_shared) {
  worker.counters.sites[site].add(is_shared ? wavefronts(access) : sectors(access));
}

void profile_access(Thread* self, u32 site, u64 address, u32 size, bool is_shared) {
  Worker& worker = *this_worker;
  const char kind = self->launch->kernel->sites[site].kind;
  if (!is_shared) {
    auto& sectors = kind == 'G' ? worker.counters.written_sectors : worker.counters.read_sectors;
    for (u64 s = address >> kSectorShift; s <= (address + size - 1) >> kSectorShift; s++) {
      sectors.insert(s);
    }
  }
  const u32 visit = worker.visits[size_t{self->block->rank} * 1024 + self->linear][site]++;
  const u64 warp = self->block->rank * 32 + self->warp_index;
  const u64 key = warp << kWarpShift | u64{site} << kSiteShift | visit;
  WarpAccess& access = worker.accesses[key];
  access.size = size;
  access.mask |= 1u << self->lane;
  access.addresses[self->lane] = address;
  if (access.mask == self->warp->live) {
    count_warp_access(worker, site, access, is_shared);
    worker.accesses.erase(key);
  }
}

void count_incomplete_accesses(Worker& worker) {
  for (const auto& [key, access] : worker.accesses) {
    const u32 site = static_cast<u32>(key >> kSiteShift & kSiteMask);
    count_warp_access(worker, site, access, is_shared_site(*worker.launch, site));
  }
  worker.accesses.clear();
}

void Counters::reset(int site_count) {
  *this = Counters{};
  executions.resize(static_cast<size_t>(site_count) + 1);
  sites.resize(static_cast<size_t>(site_count) + 1);
}

void Counters::add(const Counters& other) {
  for (size_t i = 0; i < executions.size(); i++) {
    executions[i] += other.executions[i];
    sites[i].add(other.sites[i]);
  }
  read_sectors.insert(other.read_sectors.begin(), other.read_sectors.end());
  written_sectors.insert(other.written_sectors.begin(), other.written_sectors.end());
  async_bytes += other.async_bytes;
  bulk_bytes += other.bulk_bytes;
  switches += other.switches;
}

}  // namespace cuda_emulator
