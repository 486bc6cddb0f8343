#include "tether/os/modules.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace berth::tether::os {
namespace {

constexpr std::size_t kModuleListLimit = 64u << 10;

/// errno, 0 when it is loaded.
int load_module(int folder, const std::string& name) {
  const UniqueFd module(::openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!module) return errno;
  if (::syscall(SYS_finit_module, module.get(), "", 0) != 0 && errno != EEXIST) return errno;
  ::unlinkat(folder, name.c_str(), 0);
  return 0;
}

}  // namespace

void Modules::load_boot() {
  const UniqueFd order(folder_ ? ::openat(folder_.get(), "order", O_RDONLY | O_CLOEXEC) : -1);
  if (!order) {
    log::error("the initramfs has no /modules/order: {}", std::strerror(errno));
    return;
  }
  for (const std::string& name : split(read_all(order.get(), kModuleListLimit), '\n')) {
    if (name.empty()) continue;
    if (const int failure = load_module(folder_.get(), name))
      log::error("cannot load the kernel module {}: {}", name, std::strerror(failure));
  }
}

void Modules::load(const std::string& list) {
  const std::string done = list + ".done";
  if (folder_ && ::faccessat(folder_.get(), done.c_str(), F_OK, 0) == 0) return;
  const UniqueFd order(folder_ ? ::openat(folder_.get(), list.c_str(), O_RDONLY | O_CLOEXEC) : -1);
  if (!order) throw Error(Code::unsupported, "this guest's kernel lacks the modules for the {}", list);
  for (const std::string& name : split(read_all(order.get(), kModuleListLimit), '\n')) {
    if (name.empty()) continue;
    // A file that is gone was loaded when this was tried before.
    const int failure = load_module(folder_.get(), name);
    if (failure != 0 && failure != ENOENT) throw errno_error("load the kernel module " + name, failure);
  }
  check(::renameat(folder_.get(), list.c_str(), folder_.get(), done.c_str()), "note that modules are loaded");
}

}  // namespace berth::tether::os
