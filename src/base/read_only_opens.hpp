#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.hpp"

namespace berth {

/// Makes the calling process, which has no_new_privileges, and all that come from it wait for an answer
/// (ReadOnlyOpens) in open(2) and openat(2) with exactly the flags O_RDWR; fallocate(2) of the descriptors
/// `numbers`, at most kMostReadOnlyOpens, does nothing and succeeds. Returns the close-on-exec
/// descriptor that answers; -1 with errno where the kernel cannot. Only makes system calls, for use after
/// fork.
int install_open_filter(const std::vector<int>& numbers);
inline constexpr std::size_t kMostReadOnlyOpens = 4;

/// Answers a child's opens of /proc/self/fd/NUMBER with exactly O_RDWR by a descriptor that only reads, for
/// NUMBERs that the child has open so itself; the descriptor takes NUMBER's place. For programs that open to
/// read and write what they only read or map privately, as QEMU does with the file behind private memory: of
/// what the guest does not need any more it makes a hole in the file, which fallocate(2) has to let it
/// believe, and then drops its own pages.
///
/// It helps a program and keeps it from nothing: every other open goes on in the kernel as if it had not been
/// stopped, and the child may change its path meanwhile. What the child must not write has to have an owner
/// and a mode that say so.
class ReadOnlyOpens {
 public:
  /// Before the child is there, from ProcessSpec's members of these names. Throws Code::invalid_argument.
  ReadOnlyOpens(const std::vector<int>& opened_read_only,
                const std::vector<std::pair<int, int>>& descriptors);

  /// With the child's descriptor from install_open_filter, after its exec. Throws Code::unsupported where the
  /// kernel does not let us answer.
  void listen(UniqueFd notifications, pid_t child);

  /// Readable when an open waits, hung up when no process is left that could ask.
  int fd() const { return notifications_.get(); }
  /// Answers one open if one waits. False when no process is left that could ask.
  bool answer();

 private:
  struct File {
    std::string path;
    int number;
    UniqueFd fd;
  };

  void answer_next();
  /// The file that a thread which waits in an open wants, or null.
  const File* find(pid_t thread, std::uint64_t path_address) const;

  std::vector<File> files_;
  UniqueFd notifications_;
};

}  // namespace berth
