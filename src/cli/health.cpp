#include "cli/health.hpp"

#include <pwd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "engine/machine_parts.hpp"
#include "hypervisor/initramfs.hpp"
#include "hypervisor/qemu/qemu.hpp"
#include "image/user_namespace.hpp"
#include "launcher/host_folders.hpp"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;
using Result = HealthCheck::Result;

/// What `look` says, or why it failed.
HealthCheck check_that(std::string name, const std::function<std::string()>& look) {
  HealthCheck check{std::move(name), Result::good, {}};
  try {
    check.detail = look();
  } catch (const Error& error) {
    check.result = Result::missing;
    check.detail = error.what();
  }
  return check;
}

HealthCheck check_tool(const std::string& tool, std::string_view package) {
  return check_that(tool, [&] {
    const auto path = find_program(tool);
    if (!path) throw Error(Code::not_found, "not found: install the package {}", package);
    return path->string();
  });
}

HealthCheck check_program(std::string name, const fs::path& path) {
  return check_that(std::move(name), [&] {
    if (::access(path.c_str(), X_OK) != 0) throw errno_error(path.string());
    return path.string();
  });
}

hypervisor::GuestKernel guest_kernel() {
  const char* chosen = std::getenv("BERTH_KERNEL");
  return hypervisor::find_kernel(chosen != nullptr ? chosen : "");
}

std::string describe_modules() {
  const hypervisor::GuestKernel kernel = guest_kernel();
  const std::vector<std::string_view> names(hypervisor::kBootModules.begin(), hypervisor::kBootModules.end());
  return fmt::format("{} below {}", hypervisor::resolve_modules(kernel, names).size(),
                     kernel.modules.string());
}

HealthCheck check_kvm(const engine::Paths& paths) {
  HealthCheck check{"KVM", Result::notice, {}};
  try {
    const hypervisor::KvmAnswer answer = engine::probe_kvm(paths);
    if (answer.usable) check.result = Result::good;
    check.detail =
        answer.usable ? "runs " + answer.kernel : answer.reason + "; machines run by software emulation";
  } catch (const Error& error) {
    check.detail = fmt::format("not tried: {}", error.what());
  }
  return check;
}

/// Only containers with folders of the host need it.
HealthCheck check_file_server() {
  HealthCheck check = check_that("virtiofsd", [] { return launcher::file_server_program().string(); });
  if (check.result == Result::missing) check.result = Result::notice;
  return check;
}

std::string user_name() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry != nullptr ? entry->pw_name : std::to_string(::geteuid());
}

void require_ranges(const char* file, const std::string& user) {
  const std::string text = find_file(file).value_or(std::string());
  if (image::parse_subordinate_ids(text, user, ::geteuid()).empty()) {
    throw Error(Code::not_found,
                "{} has no range for {}: as root, run 'usermod --add-subuids 100000-165535 --add-subgids "
                "100000-165535 {}'",
                file, user, user);
  }
}

/// Unpacking an image keeps its files' owners, which takes a user namespace of many ids.
HealthCheck check_user_namespaces() {
  return check_that("user namespaces", [] {
    const std::string limit(trim(find_file("/proc/sys/user/max_user_namespaces").value_or("0")));
    const std::string debian(trim(find_file("/proc/sys/kernel/unprivileged_userns_clone").value_or("1")));
    if (limit == "0" || debian == "0") {
      throw Error(Code::unsupported,
                  "switched off: as root, run 'sysctl kernel.unprivileged_userns_clone=1 "
                  "user.max_user_namespaces=10000'");
    }
    if (!find_program("newuidmap"))
      throw Error(Code::not_found, "newuidmap not found: install the package uidmap");
    const std::string user = user_name();
    require_ranges("/etc/subuid", user);
    require_ranges("/etc/subgid", user);
    return "subordinate ids for " + user;
  });
}

/// The folder, or what of its path exists already.
fs::path existing_part(fs::path path) {
  std::error_code ignored;
  while (!fs::exists(path, ignored) && path.has_relative_path()) path = path.parent_path();
  return path;
}

HealthCheck check_writable(std::string name, const fs::path& folder) {
  return check_that(std::move(name), [&] {
    if (::access(existing_part(folder).c_str(), W_OK | X_OK) != 0)
      throw errno_error(folder.string() + " is not writable");
    return folder.string();
  });
}

HealthCheck check_free_space(const fs::path& folder) {
  struct statvfs status {};
  if (::statvfs(existing_part(folder).c_str(), &status) != 0) {
    return {"free space", Result::notice, errno_error(folder.string()).message()};
  }
  return check_space(folder, std::uint64_t{status.f_bavail} * status.f_frsize);
}

}  // namespace

std::string_view to_string(Result result) {
  switch (result) {
    case Result::good:
      return "ok";
    case Result::notice:
      return "note";
    case Result::missing:
      return "missing";
  }
  return "unknown";
}

HealthCheck check_space(const fs::path& folder, std::uint64_t available_bytes) {
  constexpr std::uint64_t kComfortable = std::uint64_t{2} << 30;
  const std::string size = format_decimal_size(available_bytes);
  if (available_bytes >= kComfortable) return {"free space", Result::good, size};
  return {"free space", Result::notice,
          fmt::format("only {} for images and disks in {}", size, folder.string())};
}

std::vector<HealthCheck> check_health(const engine::Paths& paths) {
  std::vector<HealthCheck> checks;
  checks.push_back(check_that("QEMU", [] { return hypervisor::QemuHypervisor().version(); }));
  checks.push_back(check_that("guest kernel", [] { return guest_kernel().image.string(); }));
  checks.push_back(check_that("guest modules", describe_modules));
  checks.push_back(check_program("launcher", paths.launcher_program()));
  checks.push_back(check_program("tether", paths.tether_program()));
  checks.push_back(check_tool("mkfs.erofs", "erofs-utils"));
  checks.push_back(check_tool("mke2fs", "e2fsprogs"));
  checks.push_back(check_tool("skopeo", "skopeo"));
  checks.push_back(check_file_server());
  if (::geteuid() != 0) checks.push_back(check_user_namespaces());
  checks.push_back(check_writable("data", paths.data));
  checks.push_back(check_writable("runtime", paths.runtime));
  checks.push_back(check_free_space(paths.data));
  const bool complete = std::none_of(
      checks.begin(), checks.end(), [](const HealthCheck& check) { return check.result == Result::missing; });
  if (complete) {
    checks.push_back(check_kvm(paths));
  } else {
    checks.push_back({"KVM", Result::notice, "not tried: something that a machine needs is missing"});
  }
  return checks;
}

}  // namespace berth::cli
