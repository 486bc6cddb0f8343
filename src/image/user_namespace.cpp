#include "image/user_namespace.hpp"

#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "base/text.hpp"

namespace berth::image {
namespace {

constexpr std::int64_t kIdLimit = 0xffffffff;

std::string user_name(uid_t uid) {
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
    return std::to_string(uid);
  return found->pw_name;
}

void map_ids(const std::string& tool, const std::string& file, pid_t pid, std::uint32_t own,
             std::chrono::milliseconds limit) {
  const std::string user = user_name(::getuid());
  const auto ranges = parse_subordinate_ids(find_file(file).value_or(""), user, ::getuid());
  if (ranges.empty())
    throw Error(Code::unavailable,
                "{} gives {} no subordinate ids, which images and folders of the host need; as root run: "
                "usermod --add-subuids "
                "100000-165535 "
                "--add-subgids 100000-165535 {}",
                file, user, user);
  const auto program = find_program(tool);
  if (!program)
    throw Error(Code::unavailable, "{} is missing; install it with: apt-get install uidmap", tool);
  ProcessSpec spec;
  spec.program = *program;
  spec.arguments = {std::to_string(pid), "0", std::to_string(own), "1"};
  std::uint64_t next = 1;
  for (const SubordinateRange& range : ranges) {
    spec.arguments.insert(spec.arguments.end(),
                          {std::to_string(next), std::to_string(range.start), std::to_string(range.count)});
    next += range.count;
  }
  const RunResult result = run(spec, limit);
  if (!result.status.success())
    throw Error(Code::unavailable,
                "{} refused the ids of {}: {}; check that {} is right and {} is setuid root", tool, user,
                printable(trim(result.error_output), 300), file, program->string());
}

}  // namespace

std::vector<SubordinateRange> parse_subordinate_ids(std::string_view text, std::string_view user, uid_t uid) {
  std::vector<SubordinateRange> ranges;
  for (const std::string& line : split(text, '\n')) {
    const auto parts = split(trim(line), ':');
    if (parts.size() != 3 || (parts[0] != user && parts[0] != std::to_string(uid))) continue;
    try {
      SubordinateRange range;
      range.start = static_cast<std::uint32_t>(parse_integer(parts[1], 0, kIdLimit, "the start"));
      range.count =
          static_cast<std::uint32_t>(parse_integer(parts[2], 1, kIdLimit - range.start, "the count"));
      ranges.push_back(range);
    } catch (const Error&) {
      continue;
    }
  }
  return ranges;
}

void map_user_namespace(pid_t pid, std::chrono::milliseconds limit) {
  map_ids("newuidmap", "/etc/subuid", pid, ::getuid(), limit);
  map_ids("newgidmap", "/etc/subgid", pid, ::getgid(), limit);
}

void enter_user_namespace(int report, int go) {
  if (::unshare(CLONE_NEWUSER) != 0)
    throw Error(Code::unavailable,
                "this system lets ordinary users make no user namespaces ({}); as root run: sysctl "
                "kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000",
                errno_error("unshare").message());
  // Changing credentials has cleared it.
  check(::prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
  write_all(report, "R");
  char byte = 0;
  if (::read(go, &byte, 1) != 1) throw Error(Code::unavailable, "the parent gave up");
}

}  // namespace berth::image
