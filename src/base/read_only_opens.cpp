#include "base/read_only_opens.hpp"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth {
namespace {

/// Longer than "/proc/self/fd/2147483647" with its end.
constexpr std::size_t kPathLimit = 32;

#ifdef __x86_64__
constexpr sock_filter load(std::size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<__u32>(offset));
}

/// Goes that many instructions further.
constexpr sock_filter if_equal(__u32 value, __u8 then, __u8 otherwise) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise);
}

/// Flags and descriptors are an int: the kernel, too, looks at the lower half of the argument only.
constexpr std::array kOpenFilter{
    load(offsetof(seccomp_data, arch)),
    if_equal(AUDIT_ARCH_X86_64, 0, 8),
    load(offsetof(seccomp_data, nr)),
    if_equal(SYS_fallocate, 8, 0),
    if_equal(SYS_openat, 3, 0),
    if_equal(SYS_open, 0, 4),
    load(offsetof(seccomp_data, args[1])),
    sock_filter BPF_STMT(BPF_JMP | BPF_JA, 1),
    load(offsetof(seccomp_data, args[2])),
    if_equal(O_RDWR, 1, 0),
    sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    load(offsetof(seccomp_data, args[0])),  // of fallocate
};

/// A filter for these descriptors.
struct OpenFilter {
  explicit OpenFilter(const std::vector<int>& numbers) {
    std::copy(kOpenFilter.begin(), kOpenFilter.end(), program.begin());
    size = kOpenFilter.size();
    for (std::size_t i = 0; i < numbers.size() && i < kMostReadOnlyOpens; ++i) {
      const auto to_end = static_cast<__u8>(numbers.size() - i);
      program[size++] = if_equal(static_cast<__u32>(numbers[i]), to_end, 0);
    }
    program[size++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    program[size++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO);
  }

  std::array<sock_filter, kOpenFilter.size() + kMostReadOnlyOpens + 2> program;
  unsigned short size = 0;
};
#endif

int ioctl_again(int fd, unsigned long request, void* argument) {
  int result = -1;
  do {
    result = ::ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  return result;
}

/// Makes `fd` the descriptor `number` of the process that waits for this answer; negative errno, or the
/// number. Not in one step with the answer (SECCOMP_ADDFD_FLAG_SEND): a signal to us could then make the open
/// return 0.
int put_descriptor(int notifications, __u64 id, int fd, int number) {
  seccomp_notif_addfd added{};
  added.id = id;
  added.flags = SECCOMP_ADDFD_FLAG_SETFD;
  added.srcfd = static_cast<__u32>(fd);
  added.newfd = static_cast<__u32>(number);
  const int result = ioctl_again(notifications, SECCOMP_IOCTL_NOTIF_ADDFD, &added);
  return result < 0 ? -errno : result;
}

ssize_t read_memory(pid_t process, std::uint64_t address, void* buffer, std::size_t size) {
  const iovec local{buffer, size};
  const iovec remote{reinterpret_cast<void*>(address), size};
  return ::process_vm_readv(process, &local, 1, &remote, 1, 0);
}

[[noreturn]] void throw_unsupported(std::string_view step) {
  const int error_number = errno;
  throw Error(Code::unsupported, "cannot answer the opens of a process here: {}: {}", step,
              std::strerror(error_number));
}

}  // namespace

int install_open_filter(const std::vector<int>& numbers) {
#ifdef __x86_64__
  OpenFilter filter(numbers);
  sock_fprog program{filter.size, filter.program.data()};
  return static_cast<int>(
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
#else
  static_cast<void>(numbers);
  errno = ENOSYS;
  return -1;
#endif
}

ReadOnlyOpens::ReadOnlyOpens(const std::vector<int>& opened_read_only,
                             const std::vector<std::pair<int, int>>& descriptors) {
  if (opened_read_only.size() > kMostReadOnlyOpens)
    throw Error(Code::invalid_argument, "{} descriptors are opened read-only", opened_read_only.size());
  for (const int number : opened_read_only) {
    const auto found = std::find_if(descriptors.begin(), descriptors.end(),
                                    [&](const auto& pair) { return pair.second == number; });
    if (found == descriptors.end()) {
      throw Error(Code::invalid_argument, "descriptor {} is opened read-only and not given", number);
    }
    const int flags = check(::fcntl(found->first, F_GETFL), "fcntl");
    if ((flags & O_ACCMODE) != O_RDONLY) {
      throw Error(Code::invalid_argument, "descriptor {} is opened read-only and can be written", number);
    }
    files_.push_back({fmt::format("/proc/self/fd/{}", number), number, duplicate(found->first)});
  }
}

void ReadOnlyOpens::listen(UniqueFd notifications, pid_t child) {
  notifications_ = std::move(notifications);
  // Nobody waits for this answer, which a kernel that can give it finds out last.
  const int refusal = put_descriptor(notifications_.get(), 0, notifications_.get(), 0);
  if (refusal != -ENOENT) {
    errno = -refusal;
    throw_unsupported("add a descriptor (Linux 5.9 can)");
  }
  char byte = 0;
  if (read_memory(child, 0, &byte, 1) < 0 && errno != EFAULT && errno != ESRCH) {
    throw_unsupported("read its memory");
  }
}

bool ReadOnlyOpens::answer() {
  pollfd ready{fd(), POLLIN, 0};
  check(::poll(&ready, 1, 0), "look for opens of a process");
  if ((ready.revents & POLLIN) != 0) answer_next();
  return (ready.revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
}

void ReadOnlyOpens::answer_next() {
  seccomp_notif request{};
  if (::ioctl(fd(), SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) {
    if (errno == ENOENT || errno == EINTR) return;  // it was killed, or waits on
    throw errno_error("receive an open of a process");
  }
  const bool is_openat = request.data.nr == SYS_openat;
  const File* file = find(static_cast<pid_t>(request.pid), request.data.args[is_openat ? 1 : 0]);
  // By now its number may be another's, whose memory we have read.
  if (ioctl_again(fd(), SECCOMP_IOCTL_NOTIF_ID_VALID, &request.id) != 0) return;

  seccomp_notif_resp response{};
  response.id = request.id;
  if (file == nullptr) {
    response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  } else {
    const int number = put_descriptor(fd(), request.id, file->fd.get(), file->number);
    response.error = std::min(number, 0);
    response.val = std::max(number, 0);
  }
  if (ioctl_again(fd(), SECCOMP_IOCTL_NOTIF_SEND, &response) != 0 && errno != ENOENT) {
    throw errno_error("answer an open of a process");
  }
}

const ReadOnlyOpens::File* ReadOnlyOpens::find(pid_t thread, std::uint64_t path_address) const {
  char path[kPathLimit];
  const ssize_t size = read_memory(thread, path_address, path, sizeof path);
  if (size <= 0) return nullptr;
  const std::string_view read(path, static_cast<std::size_t>(size));
  const std::size_t end = read.find('\0');
  if (end == std::string_view::npos) return nullptr;
  const auto found = std::find_if(files_.begin(), files_.end(),
                                  [&](const File& file) { return file.path == read.substr(0, end); });
  return found == files_.end() ? nullptr : &*found;
}

}  // namespace berth
