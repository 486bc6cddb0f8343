#include "tether/session/seccomp.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <iterator>

#include "base/error.hpp"

namespace berth::tether {
namespace {

constexpr sock_filter kFilter[] = {
#include "seccomp_filter.inc"
};
static_assert(std::size(kFilter) <= BPF_MAXINSNS);

}  // namespace

void install_default_seccomp_filter() {
  // The kernel only reads it.
  const sock_fprog program{static_cast<unsigned short>(std::size(kFilter)),
                           const_cast<sock_filter*>(kFilter)};
  check(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), "install the seccomp filter");
}

}  // namespace berth::tether
