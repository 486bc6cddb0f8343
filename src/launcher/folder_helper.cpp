#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "image/user_namespace.hpp"
#include "launcher/folder_server.hpp"

/// The process between launcher and virtiofsd.
namespace berth::launcher {
namespace {

constexpr int kListener = 3;
/// In the helper's own mount namespace, where nothing else of the host's is looked for.
constexpr const char* kStage = "/tmp";
constexpr const char* kStagedFolder = "/tmp/folder";

/// The source with all that is mounted below it, nowhere mounted yet.
UniqueFd clone_source(const FolderService& service) {
  const bool is_file = service.kind == SourceKind::file;
  const UniqueFd source = open_file(service.source, O_PATH | (is_file ? 0 : O_DIRECTORY));
  struct stat status {};
  check(::fstat(source.get(), &status), "stat " + service.source);
  if (is_file && !S_ISREG(status.st_mode))
    throw Error(Code::conflict, "{} is no file any more; try again", service.source);
  UniqueFd tree(
      check(::open_tree(source.get(), "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC),
            "bind " + service.source));
  if (service.read_only) {
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    check(::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes),
          "make read-only " + service.source);
  }
  return tree;
}

/// Gives the source a name that means nothing, and a file a folder in which nothing else is or can be made.
void stage(const FolderService& service) {
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "keep mounts to this process");
  const UniqueFd tree = clone_source(service);
  check(::mount("tmpfs", kStage, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=64k"),
        "mount a tmpfs");
  check(::mkdir(kStagedFolder, 0755), kStagedFolder);
  const bool is_file = service.kind == SourceKind::file;
  const std::string place = is_file ? fmt::format("{}/{}", kStagedFolder, kSharedFile) : kStagedFolder;
  if (is_file) open_file(place, O_WRONLY | O_CREAT | O_EXCL, 0600);
  check(::move_mount(tree.get(), "", AT_FDCWD, place.c_str(), MOVE_MOUNT_F_EMPTY_PATH),
        "bind " + service.source);
  if (!is_file) return;
  check(::mount(nullptr, kStage, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                nullptr),
        "make a tmpfs read-only");
}

/// Ends with the process that has the other end of `parent`.
[[noreturn]] void become_file_server(const FolderService& service, int parent, int report) {
  const auto fail = [report](const char* what) {
    const std::string text = fmt::format("unavailable\n{}\n", errno_error(what).message());
    [[maybe_unused]] const ssize_t n = ::write(report, text.data(), text.size());
    ::_exit(1);
  };
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail("prctl");
  // The parent is in another process namespace, where getppid(2) does not see it.
  pollfd ended{parent, POLLIN, 0};
  if (::poll(&ended, 1, 0) != 0) ::_exit(1);
  std::vector<std::string> words = file_server_arguments(kListener, kStagedFolder);
  words.insert(words.begin(), service.program.string());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  fail("run virtiofsd");
  ::_exit(1);
}

/// Waits for the file server and ends as it did. `kept` is what the server's process looks at.
[[noreturn]] void wait_for(pid_t child, int kept) {
  ::dup2(kept, kListener);
  ::close_range(kListener + 1, ~0u, 0);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) ::_exit(1);
  }
  ::_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

FolderService parse_service(int argc, char** argv) {
  if (argc != 6) throw Error(Code::invalid_argument, "this command is for berth itself");
  FolderService service;
  service.program = argv[2];
  service.source = argv[3];
  service.kind = std::string_view(argv[4]) == "file" ? SourceKind::file : SourceKind::folder;
  service.read_only = std::string_view(argv[5]) == "ro";
  return service;
}

}  // namespace

int folder_server_main(int argc, char** argv) {
  const pid_t launcher = ::getppid();
  const UniqueFd report = duplicate(STDOUT_FILENO);
  const UniqueFd null = open_file("/dev/null", O_RDWR);
  ::dup2(null.get(), STDOUT_FILENO);
  try {
    const FolderService service = parse_service(argc, argv);
    if (::geteuid() != 0) image::enter_user_namespace(report.get(), STDIN_FILENO);
    ::dup2(null.get(), STDIN_FILENO);
    check(::unshare(CLONE_NEWNS | CLONE_NEWPID), "make namespaces for virtiofsd");
    check(::prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
    if (::getppid() != launcher) return 1;
    stage(service);
    auto [parent_read, parent_write] = make_pipe();
    const pid_t child = check(::fork(), "fork");
    if (child == 0) {
      parent_write.reset();
      become_file_server(service, parent_read.get(), report.get());
    }
    wait_for(child, parent_write.get());
  } catch (const Error& error) {
    const std::string text = fmt::format("{}\n{}\n", to_string(error.code()), printable(error.what()));
    return ::write(report.get(), text.data(), text.size()) < 0 ? 2 : 1;
  }
}

}  // namespace berth::launcher
