#include <sys/stat.h>
#include <unistd.h>

#include "base/io.hpp"
#include "base/text.hpp"
#include "cli/command.hpp"
#include "cli/copy_rules.hpp"
#include "cli/local_files.hpp"
#include "cli/terminal.hpp"
#include "tar/copy_path.hpp"
#include "tar/decompress.hpp"

namespace berth::cli {
namespace {

struct CopyOptions {
  bool archive = false;
  bool follow_link = false;
  bool quiet = false;
};

void print_warnings(std::string_view lines) {
  for (const std::string& line : split(lines, '\n'))
    if (!line.empty()) print_error("warning: " + printable(line, 300));
}

void print_warnings(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) print_warnings(line);
}

/// Docker's last line.
void print_success(std::uint64_t bytes, const std::string& destination) {
  const std::string line =
      fmt::format("Successfully copied {} to {}\n", format_decimal_size(bytes), printable(destination, 300));
  write_all(STDERR_FILENO, line);
}

/// What a path of a container is, if it is there at all.
std::optional<link::archive::PathStat> find_stat(engine::ContainerFiles& files, const std::string& path) {
  try {
    return files.stat(path);
  } catch (const Error& error) {
    if (error.code() == Code::not_found || error.code() == Code::invalid_argument) return std::nullopt;
    throw;
  }
}

CopyDestination look_into_container(engine::ContainerFiles& files, const CopyArgument& asked) {
  CopyDestination destination{asked.path, false, false};
  std::optional<link::archive::PathStat> stat = find_stat(files, asked.path);
  if (stat && S_ISLNK(stat->mode)) {
    destination.path = stat->link_target.data;
    stat = find_stat(files, destination.path);
  }
  if (!stat) return destination;
  if (!S_ISDIR(stat->mode) && !S_ISREG(stat->mode)) {
    throw Error(Code::invalid_argument, "destination \"{}:{}\" must be a directory or a regular file",
                asked.container, printable(asked.path, 300));
  }
  destination.exists = true;
  destination.folder = S_ISDIR(stat->mode);
  return destination;
}

std::uint64_t copy_in(Context& context, const std::string& source, const CopyArgument& asked,
                      const CopyOptions& options) {
  std::optional<LocalSource> local;
  if (source != "-") local.emplace(source, options.follow_link);
  engine::ContainerFiles files = context.engine().files(asked.container);
  const CopyDestination destination = look_into_container(files, asked);
  if (!local && !destination.folder) {
    throw Error(Code::invalid_argument, "destination \"{}:{}\" must be a directory", asked.container,
                printable(asked.path, 300));
  }
  const CopyPlan plan = local ? plan_copy(local->source(), destination) : CopyPlan{destination.path, "."};
  std::uint64_t bytes = 0;
  const std::string left_out = files.write(plan.folder, options.archive, [&](const tar::Sink& sink) {
    const tar::Sink counting = [&](std::string_view piece) {
      bytes += piece.size();
      sink(piece);
    };
    if (local) {
      print_warnings(local->pack(plan.name, counting));
    } else {
      tar::decompress(tar::source_of(STDIN_FILENO, "read standard input"), counting);
    }
  });
  print_warnings(left_out);
  return bytes;
}

void unpack_here(engine::ContainerFiles::Reader& reader, const std::string& top, const CopyPlan& plan,
                 const CopyOptions& options, std::uint64_t& bytes) {
  tar::UnpackRules rules;
  if (top != ".") rules.top = top;
  if (plan.name != ".") rules.place = plan.name;
  rules.write.owners = options.archive ? tar::Owners::of_archive : tar::Owners::of_process;
  rules.write.devices = options.archive && ::geteuid() == 0 ? tar::Devices::any : tar::Devices::none;
  rules.write.privileges = options.archive;
  const tar::Source source = [&] {
    const std::string_view piece = reader.next();
    bytes += piece.size();
    return piece;
  };
  print_warnings(tar::unpack(source, open_local_folder(plan.folder), rules));
}

std::uint64_t copy_out(Context& context, const CopyArgument& asked, const std::string& destination,
                       const CopyOptions& options) {
  std::optional<CopyDestination> local;
  if (destination != "-") local = look_at_destination(destination);
  engine::ContainerFiles files = context.engine().files(asked.container);
  const tar::CopyPath path = tar::parse_copy_path(asked.path);
  std::string from = asked.path;
  if (options.follow_link && !path.folder) {
    const link::archive::PathStat stat = files.stat(asked.path);
    if (S_ISLNK(stat.mode)) from = stat.link_target.data;
  }
  engine::ContainerFiles::Reader reader = files.read(from);
  std::uint64_t bytes = 0;
  if (local) {
    const CopyPlan plan = plan_copy({path.name(), S_ISDIR(reader.stat().mode)}, *local);
    unpack_here(reader, tar::parse_copy_path(from).name(), plan, options, bytes);
  } else {
    for (std::string_view piece = reader.next(); !piece.empty(); piece = reader.next()) {
      write_all(STDOUT_FILENO, piece);
      bytes += piece.size();
    }
  }
  print_warnings(reader.warnings());
  return bytes;
}

}  // namespace

namespace command {

int cp(Context& context, const Arguments& arguments) {
  CopyOptions options;
  std::vector<std::string> paths;
  Parser parser(
      "berth cp",
      "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n  berth cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
      "Copies files between a container, running or not, and this machine. \"-\" is a tar stream on "
      "standard input or output.");
  parser.flag("-a,--archive", options.archive, "Keep owners (uid and gid) and privileges of files")
      .flag("-L,--follow-link", options.follow_link, "Copy what a link at SRC_PATH leads to")
      .flag("-q,--quiet", options.quiet, "Do not say that it is done")
      .positionals(paths, 2, 2)
      .example("berth cp web:/etc/nginx/. ./nginx");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  const CopyArgument source = parse_copy_argument(paths[0]);
  const CopyArgument destination = parse_copy_argument(paths[1]);
  if (!source.container.empty() && !destination.container.empty())
    throw Error(Code::invalid_argument, "copying between containers is not supported");
  if (source.container.empty() && destination.container.empty())
    throw Error(Code::invalid_argument, "must specify at least one container source");
  const bool in = source.container.empty();
  const std::uint64_t bytes = in ? copy_in(context, source.path, destination, options)
                                 : copy_out(context, source, destination.path, options);
  if (!options.quiet && is_terminal(STDOUT_FILENO)) print_success(bytes, paths[1]);
  return 0;
}

}  // namespace command
}  // namespace berth::cli
