#include "engine/scratch.hpp"

#include <unistd.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/process.hpp"

namespace berth::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kFormatLimit{120'000};

void format(const fs::path& file) {
  ProcessSpec spec;
  spec.program = "mke2fs";
  // The guest mounts with noinit_itable: tables are zero in a sparse file anyway.
  spec.arguments = {"-q", "-F",      "-t",          "ext4",
                    "-m", "0",       "-E",          "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
                    "-J", "size=16", "-O",          "^resize_inode",
                    "-L", "scratch", file.string(), std::to_string(kScratchBytes / 1024) + "k"};
  try {
    run_checked(spec, kFormatLimit);
  } catch (Error& error) {
    if (error.code() == Code::not_found) {
      throw Error(Code::unavailable, "mke2fs is missing: install the package e2fsprogs");
    }
    error.add_context("make a writable disk");
    throw;
  }
}

}  // namespace

void make_scratch_disk(const fs::path& cache, const fs::path& target) {
  constexpr std::chrono::milliseconds kLockLimit{120'000};
  const fs::path kept = cache / "scratch-10g.ext4";
  if (!fs::exists(kept)) {
    const FileLock lock = FileLock::acquire(cache / "scratch.lock", kLockLimit, "the empty disk");
    if (!fs::exists(kept)) {
      const TempDir folder(cache, "scratch-");
      format(folder.path() / "disk");
      fs::rename(folder.path() / "disk", kept);
    }
  }
  copy_sparse(kept, target);
}

}  // namespace berth::engine
