#include "tether/files/copy_child.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <vector>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "tar/copy_path.hpp"
#include "tar/pack.hpp"
#include "tar/unpack.hpp"
#include "tether/session/capabilities.hpp"
#include "tether/session/process_state.hpp"

namespace berth::tether {
namespace {

namespace archive = link::archive;

/// To read, own and make any file; nothing else.
constexpr CapabilitySet kCapabilities = CapabilitySet{1} << CAP_CHOWN | CapabilitySet{1} << CAP_DAC_OVERRIDE |
                                        CapabilitySet{1} << CAP_DAC_READ_SEARCH |
                                        CapabilitySet{1} << CAP_FOWNER | CapabilitySet{1} << CAP_FSETID |
                                        CapabilitySet{1} << CAP_MKNOD | CapabilitySet{1} << CAP_SETFCAP;

std::string lines_of(const std::vector<std::string>& texts) {
  std::string lines;
  for (const std::string& text : texts) lines += text + "\n";
  return lines;
}

Error missing(const std::string& path) {
  return Error(Code::not_found, "could not find the file {} in the container", printable(path, 300));
}

UniqueFd open_path(const tar::ConfinedRoot& root, const std::string& clean, bool follow,
                   const std::string& asked) {
  try {
    return root.open(clean, follow);
  } catch (const Error& error) {
    if (error.code() == Code::not_found) throw missing(asked);
    throw;
  }
}

/// The thing itself, and its description.
std::pair<UniqueFd, archive::PathStat> look_at(const tar::ConfinedRoot& root, const std::string& asked) {
  const tar::CopyPath path = tar::parse_copy_path(asked);
  UniqueFd found = open_path(root, path.clean, path.folder, asked);
  struct stat status {};
  check(::fstat(found.get(), &status), "stat");
  if (path.folder && !S_ISDIR(status.st_mode))
    throw Error(Code::invalid_argument, "{} is not a directory", printable(asked, 300));
  archive::PathStat stat;
  stat.mode = status.st_mode;
  stat.size = status.st_size;
  stat.modified = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
  if (S_ISLNK(status.st_mode)) stat.link_target.data = "/" + tar::resolve_links(root, path.clean);
  return {std::move(found), std::move(stat)};
}

std::string read_files(const tar::ConfinedRoot& root, const std::string& asked, int output) {
  const tar::CopyPath path = tar::parse_copy_path(asked);
  const tar::Sink sink = [output](std::string_view piece) { write_all(output, piece); };
  // A link to a folder was followed already.
  if (path.folder) {
    const UniqueFd folder = open_path(root, path.clean, true, asked);
    return lines_of(tar::pack(folder.get(), ".", path.name(), sink));
  }
  const UniqueFd parent = root.open_folder(path.parent());
  return lines_of(tar::pack(parent.get(), path.name(), path.name(), sink));
}

std::string write_files(tar::ConfinedRoot root, const archive::Order& order, int input) {
  const tar::CopyPath path = tar::parse_copy_path(order.path);
  const UniqueFd folder = open_path(root, path.clean, true, order.path);
  struct stat status {};
  check(::fstat(folder.get(), &status), "stat");
  if (!S_ISDIR(status.st_mode)) {
    throw Error(Code::invalid_argument, "extraction point is not a directory: {}",
                printable(order.path, 300));
  }
  struct statvfs file_system {};
  check(::fstatvfs(folder.get(), &file_system), "look at the file system");
  if ((file_system.f_flag & ST_RDONLY) != 0) {
    throw Error(Code::wrong_state, "{} is on a file system that is mounted read-only",
                printable(order.path, 300));
  }
  tar::UnpackRules rules;
  rules.place = tar::resolve_links(root, path.clean);
  rules.write.owners = order.keep_owners ? tar::Owners::of_archive : tar::Owners::root;
  rules.write.devices = tar::Devices::any;
  return lines_of(tar::unpack(tar::source_of(input, "read"), std::move(root), rules));
}

void leave_the_tether(const CopyDescriptors& descriptors, int container) {
  ::prctl(PR_SET_NAME, "berth-copy");
  // When memory is short, a copy goes before anything of the container.
  reset_process_state(1000);
  ::signal(SIGPIPE, SIG_IGN);
  std::vector<int> kept = {2, descriptors.data, descriptors.answer};
  if (container >= 0) kept.push_back(container);
  std::sort(kept.begin(), kept.end());
  unsigned first = 0;
  for (const int number : kept) {
    const auto next = static_cast<unsigned>(number);
    if (next > first) ::close_range(first, next - 1, 0);
    first = next + 1;
  }
  ::close_range(first, UINT_MAX, 0);
}

void give_up_privileges() {
  check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs");
  limit_bounding_set(kCapabilities);
  set_capabilities(kCapabilities);
}

/// As the container's processes see it. The caller keeps the tether's mounts, for its /proc.
UniqueFd open_root_of(int container) {
  const UniqueFd own = open_file("/proc/self/ns/mnt", O_RDONLY);
  check(::setns(container, CLONE_NEWNS), "enter the container's mounts");
  UniqueFd root = open_file("/", O_PATH | O_DIRECTORY);
  check(::setns(own.get(), CLONE_NEWNS), "leave the container's mounts");
  return root;
}

UniqueFd open_assembled_root(const std::string& root, bool read_only) {
  if (read_only) {
    check(::unshare(CLONE_NEWNS), "make a mount namespace");
    check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make the mounts private");
    check(::mount(nullptr, root.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr),
          "make the root read-only");
  }
  return open_file(root, O_PATH | O_DIRECTORY);
}

}  // namespace

std::string copy_files(const archive::Order& order, tar::ConfinedRoot root, int input, int output) {
  if (order.verb == archive::Verb::write) return write_files(std::move(root), order, input);
  const auto [found, stat] = look_at(root, order.path);
  write_all(output, archive::encode(stat));
  return order.verb == archive::Verb::read ? read_files(root, order.path, output) : "";
}

void run_copy_child(const archive::Order& order, const CopyPlace& place, const CopyDescriptors& descriptors) {
  std::string answer;
  try {
    leave_the_tether(descriptors, place.container.get());
    UniqueFd root = place.container ? open_root_of(place.container.get())
                                    : open_assembled_root(place.root, place.read_only);
    give_up_privileges();
    answer =
        "0\n" + copy_files(order, tar::ConfinedRoot(std::move(root)), descriptors.data, descriptors.data);
  } catch (const Error& error) {
    answer = fmt::format("1\n{}\n{}", to_string(error.code()), error.what());
  } catch (const std::exception& error) {
    answer = fmt::format("1\n{}\n{}", to_string(Code::internal), error.what());
  }
  try {
    answer.resize(std::min(answer.size(), archive::kAnswerLimit));
    write_all(descriptors.answer, answer);
  } catch (const Error&) {
    // The tether has given up.
  }
  ::_exit(0);
}

}  // namespace berth::tether
