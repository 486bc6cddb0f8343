#include "hypervisor/qemu/host.hpp"

#include <sys/stat.h>
#include <time.h>

#include <cstdint>

#ifdef __x86_64__
#include <x86intrin.h>
#endif

namespace berth::hypervisor::qemu {
namespace {

#ifdef __x86_64__

constexpr std::int64_t kSpan = 5'000'000;  // ns; the error of two samples is some 100 ns

struct Sample {
  std::int64_t time;  ///< ns
  std::uint64_t ticks;
};

std::int64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// Clock and counter at the same moment: of several tries the one that was least disturbed.
Sample take_sample() {
  constexpr int kTries = 16;
  Sample best{};
  std::int64_t best_width = INT64_MAX;
  for (int i = 0; i < kTries; ++i) {
    const std::int64_t before = now();
    const std::uint64_t ticks = __rdtsc();
    const std::int64_t width = now() - before;
    if (width >= best_width) continue;
    best_width = width;
    best = {before + width / 2, ticks};
  }
  return best;
}

unsigned measure_tsc_khz() {
  const Sample first = take_sample();
  while (now() - first.time < kSpan) continue;
  const Sample last = take_sample();
  return static_cast<unsigned>(static_cast<double>(last.ticks - first.ticks) * 1e6 /
                               static_cast<double>(last.time - first.time));
}

#else

unsigned measure_tsc_khz() {
  return 0;
}

#endif

}  // namespace

HostFacts host_facts() {
  static const unsigned tsc_khz = measure_tsc_khz();
  HostFacts facts{std::nullopt, tsc_khz};
  struct stat status {};
  if (::stat("/dev/kvm", &status) == 0) facts.kvm_group = status.st_gid;
  return facts;
}

}  // namespace berth::hypervisor::qemu
