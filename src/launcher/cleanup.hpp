#pragma once

#include <string_view>

#include "base/clock.hpp"
#include "base/files.hpp"
#include "launcher/paths.hpp"
#include "record/store.hpp"

namespace berth::launcher {

/// Those that were made for the container without a name. With `keep` they stay when it goes.
enum class AnonymousVolumes { keep, remove };

/// Removes everything a pod has: runtime folder, folder with logs, disk, record and, last, the lock's file.
/// The caller holds the pod's lock; cut off anywhere, it can be called again.
void remove_pod(record::Store& records, const Paths& paths, std::string_view id, FileLock& lock,
                AnonymousVolumes volumes);

/// Ends the machine that a launcher may have left which was killed while it made copies of a container that
/// does not run. The caller holds the pod's lock.
void end_left_machine(const record::Pod& pod);

/// Makes a record true again whose launcher is gone, or whose creation or removal was cut off. The caller
/// holds the pod's lock. Returns false when the pod is removed by that.
bool recover_pod(record::Store& records, const Paths& paths, std::string_view id, FileLock& lock,
                 const Clock& clock);

}  // namespace berth::launcher
