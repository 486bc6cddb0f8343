#pragma once

#include <string>
#include <vector>

#include "tar/stream.hpp"

namespace berth::tar {

/// Writes what `entry` names in `folder` (a descriptor, O_PATH will do) as a tar stream: PAX with content,
/// modes, owners by number, times, hard links, security.capability and user.* attributes. `entry` is one
/// name, never followed, or "." for the folder itself. In the archive it is called `name`; "." makes its
/// content come as "./...". Nothing outside of the tree is opened, whoever changes it meanwhile; what
/// vanishes meanwhile is left out, and a file that shrinks is filled up with zeros. Sockets are left out, and
/// of the kernel's own file systems (proc, sysfs, ...) only the empty folder is there.
/// Returns what was left out, a line each. Throws as errno has it, unsupported for a start that is within a
/// file system of the kernel, capacity for folders nested too deeply.
std::vector<std::string> pack(int folder, const std::string& entry, const std::string& name,
                              const Sink& sink);

}  // namespace berth::tar
