#pragma once

#include <filesystem>

namespace berth::engine {

/// Size of a container's writable disk as the guest sees it, in bytes. It takes only what is written to it.
inline constexpr unsigned long long kScratchBytes = 10ull << 30;

/// Makes an empty ext4 disk at `target`, from one kept in `cache` that is made at the first call.
/// Throws unavailable when mke2fs is missing, capacity when the disk is full.
void make_scratch_disk(const std::filesystem::path& cache, const std::filesystem::path& target);

}  // namespace berth::engine
