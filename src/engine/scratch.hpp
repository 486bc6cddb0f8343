#pragma once

#include <filesystem>

namespace berth::engine {

/// Makes an empty ext4 disk at `target`, from one kept in `cache` that is made at the first call.
/// Throws unavailable when mke2fs is missing, capacity when the disk is full.
void make_scratch_disk(const std::filesystem::path& cache, const std::filesystem::path& target);

}  // namespace berth::engine
