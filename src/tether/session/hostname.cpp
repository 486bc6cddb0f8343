#include "tether/session/hostname.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth::tether {

void set_hostname_of(int process, const std::string& hostname) {
  const UniqueFd own = open_file("/proc/self/ns/uts", O_RDONLY);
  if (::setns(process, CLONE_NEWUTS) != 0) {
    if (errno == ESRCH) return;
    throw errno_error("enter the container's UTS namespace");
  }
  const int result = ::sethostname(hostname.data(), hostname.size());
  const int failure = errno;
  check(::setns(own.get(), CLONE_NEWUTS), "leave the container's UTS namespace");
  if (result != 0) throw errno_error("set the container's host name", failure);
}

}  // namespace berth::tether
