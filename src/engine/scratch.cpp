#include "engine/scratch.hpp"

#include "base/files.hpp"
#include "launcher/machine_plan.hpp"
#include "volume/disk.hpp"

namespace berth::engine {

namespace fs = std::filesystem;

void make_scratch_disk(const fs::path& cache, const fs::path& target) {
  constexpr std::chrono::milliseconds kLockLimit{120'000};
  const fs::path kept = cache / "scratch-10g.ext4";
  if (!fs::exists(kept)) {
    const FileLock lock = FileLock::acquire(cache / "scratch.lock", kLockLimit, "the empty disk");
    if (!fs::exists(kept)) {
      const TempDir folder(cache, "scratch-");
      volume::make_disk(folder.path() / "disk", launcher::kScratchBytes, "scratch");
      fs::rename(folder.path() / "disk", kept);
    }
  }
  copy_sparse(kept, target);
}

}  // namespace berth::engine
