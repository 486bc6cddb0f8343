#include "tether/session/capabilities.hpp"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/error.hpp"

namespace berth::tether {

void limit_bounding_set(CapabilitySet capabilities) {
  // A newer kernel may know more than our headers: go on until it says that there is none.
  for (int number = 0; number < 64; ++number) {
    if ((capabilities & (CapabilitySet{1} << number)) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0) continue;
    if (errno == EINVAL && number > CAP_LAST_CAP) return;
    throw errno_error("limit the bounding capabilities");
  }
}

void set_capabilities(CapabilitySet capabilities) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto word = static_cast<std::uint32_t>(capabilities >> (32 * i));
    data[i] = {word, word, 0};
  }
  check(::syscall(SYS_capset, &header, data.data()), "set the capabilities");
  check(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear the ambient capabilities");
}

}  // namespace berth::tether
