#include "image/rootfs.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/process.hpp"
#include "base/text.hpp"
#include "image/digest.hpp"
#include "image/user_namespace.hpp"
#include "image/workspace.hpp"

namespace berth::image {
namespace {

namespace fs = std::filesystem;

using Deadline = std::chrono::steady_clock::time_point;

constexpr std::chrono::seconds kMapLimit{30};
constexpr std::size_t kReportLimit = 64u << 10;
/// Any one will do: nobody tells these file systems apart by it, and the same layers give the same file.
constexpr const char* kUuid = "5b1e0f1c-3d0a-4f5e-9d59-0c7f1f6f9b42";

std::vector<UniqueFd> open_layers(const Store& store, const Image& image) {
  std::vector<UniqueFd> layers;
  for (const Layer& layer : image.layers)
    layers.push_back(open_file(store.blob_path(layer.digest), O_RDONLY));
  return layers;
}

void unpack(const Store& store, const Image& image, const UnpackLimits& limits, const fs::path& tree) {
  const std::vector<UniqueFd> layers = open_layers(store, image);
  make_directories(tree);
  check(::chmod(tree.c_str(), 0755), "set the mode of " + tree.string());
  Unpacker unpacker(tree, limits);
  for (std::size_t i = 0; i < layers.size(); ++i)
    unpacker.apply(layers[i].get(), image.layers[i].digest, image.layers[i].diff_id);
  for (const std::string& warning : unpacker.warnings()) log::warning("{}", warning);
}

void make_erofs(const fs::path& tree, const fs::path& file, Deadline deadline) {
  const auto program = find_program("mkfs.erofs");
  if (!program)
    throw Error(Code::unavailable, "mkfs.erofs is missing; install it with: apt-get install erofs-utils");
  ProcessSpec spec;
  spec.program = *program;
  spec.arguments = {"--quiet", "--preserve-mtime", "-U", kUuid, file.string(), tree.string()};
  spec.parent_death_signal = SIGKILL;
  const RunResult result = run(spec, left_until(deadline));
  if (result.status.success()) return;
  const std::string said = printable(trim(result.error_output), 400);
  if (said.find("No space left") != std::string::npos || said.find("[Error 28]") != std::string::npos)
    throw Error(Code::capacity, "the disk is full; make room below {} and try again",
                file.parent_path().string());
  throw Error(Code::internal, "mkfs.erofs {}: {}", result.status.describe(), said);
}

/// Builds the file beside the tree it is made of, and gives it its name when it is complete.
void build(const Store& store, const Image& image, const UnpackLimits& limits, Deadline deadline) {
  const Workspace workspace = [&] {
    const FileLock held = store.lock();
    return Workspace(store.root() / "tmp", "build");
  }();
  const fs::path tree = workspace.path() / "tree";
  const fs::path file = workspace.path() / "rootfs.erofs";
  unpack(store, image, limits, tree);
  make_erofs(tree, file, deadline);
  {
    const UniqueFd made = open_file(file, O_RDONLY);
    check(::fchmod(made.get(), 0444), "set the mode of " + file.string());
    check(::fsync(made.get()), "write " + file.string());
  }
  const FileLock held = store.lock();
  if (!store.uses_rootfs(image.config.diff_ids))
    throw Error(Code::not_found, "the image {} was removed meanwhile", image.id);
  fs::path path = store.rootfs_path(image.config.diff_ids);
  check(::rename(file.c_str(), path.c_str()), "make " + path.string());
}

/// One byte from the helper: it is in its namespace.
bool wait_ready(int fd, Deadline deadline) {
  pollfd wanted{fd, POLLIN, 0};
  while (true) {
    const int ready = ::poll(&wanted, 1, static_cast<int>(left_until(deadline).count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) throw Error(Code::timeout, "the helper that unpacks did not start in time");
    char byte = 0;
    return ::read(fd, &byte, 1) == 1 && byte == 'R';
  }
}

/// What the helper said at its end: nothing, or a code's name, a newline and a message.
void raise_report(const std::string& report, const ExitStatus& status) {
  if (status.success()) return;
  const auto newline = report.find('\n');
  if (newline == std::string::npos)
    throw Error(Code::internal, "the helper that unpacks {}", status.describe());
  throw Error(code_from_string(report.substr(0, newline)), "{}", trim(report.substr(newline + 1)));
}

/// Builds inside a user namespace, where the owners of files can be given; the tree's owners are the user's
/// subordinate ids outside, so that only such a namespace can remove it.
void build_in_namespace(const Store& store, const Image& image, const RootfsOptions& options,
                        Deadline deadline) {
  auto [go_read, go_write] = make_pipe();
  auto [report_read, report_write] = make_pipe();
  ProcessSpec spec;
  spec.program = options.helper;
  spec.arguments = {kUnpackCommand,
                    store.root().string(),
                    image.manifest_digest,
                    std::to_string(options.limits.bytes),
                    std::to_string(options.limits.entries),
                    std::to_string(options.limits.name_length),
                    std::to_string(left_until(deadline).count())};
  spec.standard_input = go_read.get();
  spec.standard_output = report_write.get();
  spec.parent_death_signal = SIGKILL;
  Process helper = Process::spawn(spec);
  go_read.reset();
  report_write.reset();

  if (wait_ready(report_read.get(), std::min(deadline, std::chrono::steady_clock::now() + kMapLimit))) {
    map_user_namespace(helper.pid(), kMapLimit);
    write_all(go_write.get(), "G");
  }
  const auto status = helper.wait_for(left_until(deadline) + kMapLimit);
  if (!status) throw Error(Code::timeout, "unpacking took too long");
  raise_report(read_all(report_read.get(), kReportLimit), *status);
}

}  // namespace

fs::path rootfs(const Store& store, const Image& image, const RootfsOptions& options) {
  const Deadline deadline = std::chrono::steady_clock::now() + options.limit;
  fs::path path = store.rootfs_path(image.config.diff_ids);
  if (::access(path.c_str(), F_OK) == 0) return path;
  // A fixed set of lock files: one per image could not be removed safely.
  const std::string stripe(1, hex_of(chain_id(image.config.diff_ids)).front());
  const FileLock building = FileLock::acquire(store.root() / "locks" / ("build-" + stripe),
                                              left_until(deadline), "building the root file system");
  if (::access(path.c_str(), F_OK) == 0) return path;
  if (::geteuid() == 0)
    build(store, image, options.limits, deadline);
  else
    build_in_namespace(store, image, options, deadline);
  return path;
}

int unpack_main(int argc, char** argv) {
  try {
    if (argc != 8) throw Error(Code::invalid_argument, "this command is for berth itself");
    enter_user_namespace(STDOUT_FILENO, STDIN_FILENO);
    const auto number = [&](int i) { return parse_integer(argv[i], 0, INT64_MAX, "an argument"); };
    UnpackLimits limits;
    limits.bytes = static_cast<std::uint64_t>(number(4));
    limits.entries = static_cast<std::uint64_t>(number(5));
    limits.name_length = static_cast<std::uint64_t>(number(6));
    const Store store(argv[2]);
    build(store, store.get_manifest(argv[3]), limits,
          std::chrono::steady_clock::now() + std::chrono::milliseconds(number(7)));
    return 0;
  } catch (const Error& error) {
    const std::string report = fmt::format("{}\n{}\n", to_string(error.code()), printable(error.what()));
    return ::write(STDOUT_FILENO, report.data(), report.size()) < 0 ? 2 : 1;
  }
}

}  // namespace berth::image
