#include "cli/mount_options.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.hpp"
#include "base/text.hpp"
#include "volume/store.hpp"

namespace berth::cli {
namespace {

Error bad_volume(std::string_view text, std::string_view why) {
  return Error(Code::invalid_argument, "-v '{}': {}", printable(text), why);
}

bool is_host_path(std::string_view source) {
  return source.starts_with('/') || source.starts_with('.') || source.starts_with('~');
}

/// A path of this host, from where the user is. `option` is what it is a part of.
std::string host_path(std::string_view source, std::string_view option) {
  if (source.starts_with('~')) {
    throw Error(Code::invalid_argument, "{}: '{}' is not what the shell makes of it: write $HOME for ~",
                option, printable(source, 200));
  }
  std::string path = std::filesystem::absolute(source).lexically_normal();
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

void parse_folder_option(std::string_view text, std::string_view word, record::HostFolder& folder) {
  // Docker's words for what is so here anyway, or what there is none of.
  constexpr std::array<std::string_view, 8> kKnown{"rw",       "z",          "Z",      "private",
                                                   "rprivate", "consistent", "cached", "delegated"};
  if (word == "ro" || word == "readonly") {
    folder.read_only = true;
  } else if (word == "shared" || word == "rshared" || word == "slave" || word == "rslave") {
    throw bad_volume(text, "a virtual machine does not pass mounts on: leave out the propagation");
  } else if (std::find(kKnown.begin(), kKnown.end(), word) == kKnown.end()) {
    throw bad_volume(text, fmt::format("unknown option '{}' for a folder: use ro or rw", printable(word)));
  }
}

void parse_volume_option(std::string_view text, std::string_view word, engine::VolumeRequest& request) {
  if (word == "ro" || word == "readonly") {
    request.read_only = true;
  } else if (word == "nocopy") {
    request.no_copy = true;
  } else if (word != "rw") {
    throw bad_volume(text, fmt::format("unknown option '{}': use ro, rw or nocopy", printable(word)));
  }
}

/// A flag of --mount: alone, or with a value.
bool parse_flag(std::string_view key, std::string_view value, bool has_value) {
  if (!has_value || value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  throw Error(Code::invalid_argument, "--mount: {}={}: use true or false", key, printable(value));
}

/// What --mount says, of whatever type.
struct Mount {
  std::string type = "volume";
  std::string source;
  std::string target;
  std::string tmpfs;  // mount options
  std::string propagation;
  bool read_only = false;
  bool no_copy = false;
};

void add_tmpfs_option(Mount& mount, const std::string& option) {
  mount.tmpfs += (mount.tmpfs.empty() ? "" : ",") + option;
}

void parse_field(const std::string& field, Mount& mount) {
  const std::size_t equals = field.find('=');
  const bool has_value = equals != std::string::npos;
  const std::string key = field.substr(0, equals);
  const std::string value = has_value ? field.substr(equals + 1) : std::string();
  if (key == "type") {
    mount.type = value;
  } else if (key == "source" || key == "src") {
    mount.source = value;
  } else if (key == "target" || key == "destination" || key == "dst") {
    mount.target = value;
  } else if (key == "readonly" || key == "ro") {
    mount.read_only = parse_flag(key, value, has_value);
  } else if (key == "volume-nocopy") {
    mount.no_copy = parse_flag(key, value, has_value);
  } else if (key == "bind-propagation") {
    mount.propagation = value;
  } else if (key == "tmpfs-size") {
    add_tmpfs_option(mount, fmt::format("size={}", parse_size(value, "--mount: tmpfs-size")));
  } else if (key == "tmpfs-mode") {
    if (value.empty() || value.size() > 4 || value.find_first_not_of("01234567") != std::string::npos)
      throw Error(Code::invalid_argument, "--mount: tmpfs-mode '{}' is no octal mode", printable(value));
    add_tmpfs_option(mount, "mode=" + value);
  } else {
    throw Error(Code::invalid_argument, "--mount: unknown key '{}'", printable(key));
  }
}

void enter_tmpfs(std::string_view text, Mount mount, engine::CreateOptions& result) {
  if (!mount.source.empty() || mount.no_copy || !mount.propagation.empty())
    throw Error(Code::invalid_argument, "--mount '{}': a tmpfs has no source", printable(text));
  if (mount.read_only) add_tmpfs_option(mount, "ro");
  result.tmpfs.emplace_back(mount.target, mount.tmpfs);
}

void enter_folder(std::string_view text, const Mount& mount, engine::CreateOptions& result) {
  if (!mount.tmpfs.empty() || mount.no_copy) {
    throw Error(Code::invalid_argument, "--mount '{}': a folder has no options of a volume or tmpfs",
                printable(text));
  }
  if (!mount.propagation.empty() && mount.propagation != "private" && mount.propagation != "rprivate") {
    throw Error(Code::unsupported, "--mount '{}': a virtual machine does not pass mounts on: use rprivate",
                printable(text));
  }
  if (!is_host_path(mount.source)) {
    throw Error(Code::invalid_argument, "--mount '{}': the source must be an absolute path of this host",
                printable(text));
  }
  record::HostFolder folder;
  folder.source = host_path(mount.source, "--mount");
  folder.path = mount.target;
  folder.read_only = mount.read_only;
  result.folders.push_back(std::move(folder));
}

void enter_volume(std::string_view text, const Mount& mount, engine::CreateOptions& result) {
  if (!mount.tmpfs.empty() || !mount.propagation.empty())
    throw Error(Code::invalid_argument, "--mount '{}': options of a {} are for type={}", printable(text),
                mount.tmpfs.empty() ? "folder" : "tmpfs", mount.tmpfs.empty() ? "bind" : "tmpfs");
  if (is_host_path(mount.source)) {
    throw Error(Code::invalid_argument,
                "--mount '{}': a volume has a name; a folder of this host takes type=bind", printable(text));
  }
  engine::VolumeRequest request;
  request.name = mount.source;
  request.path = mount.target;
  request.read_only = mount.read_only;
  request.no_copy = mount.no_copy;
  result.volumes.push_back(std::move(request));
}

}  // namespace

void declare(MountOptions& options, Parser& parser) {
  parser
      .list("-v,--volume", "[SOURCE:]DIR[:ro]", options.volumes,
            "Mount a folder of this host (a path) or a volume (a name; none: a new one)")
      .list("--mount", "KEY=VALUE,...", options.mounts,
            "Mount a volume, folder (type=bind) or tmpfs: type, source, target, readonly, volume-nocopy, "
            "tmpfs-size, tmpfs-mode")
      .list("--tmpfs", "DIR[:OPTIONS]", options.tmpfs, "Mount a tmpfs");
}

engine::VolumeRequest parse_volume(std::string_view text) {
  const std::vector<std::string> parts = split(text, ':');
  engine::VolumeRequest request;
  if (parts.size() > 3) throw bad_volume(text, "use [NAME:]DIR[:OPTIONS]");
  if (parts.size() == 1) {
    request.path = parts.front();
  } else {
    request.name = parts.front();
    request.path = parts[1];
    if (request.name.starts_with('/'))
      throw bad_volume(text, "options need the name of a volume: use NAME:DIR:OPTIONS");
    if (request.name.empty()) throw bad_volume(text, "the name of the volume is empty");
  }
  if (!request.path.starts_with('/')) throw bad_volume(text, "the path in the container must be absolute");
  if (!request.name.empty()) volume::check_name(request.name);
  if (parts.size() == 3) {
    for (const std::string& word : split(parts[2], ',')) parse_volume_option(text, word, request);
  }
  return request;
}

std::optional<record::HostFolder> parse_folder(std::string_view text) {
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() < 2 || !is_host_path(parts.front())) return std::nullopt;
  // Without a place in the container it is a volume's, with words that are none of it.
  if (parts.front().starts_with('/') && !parts[1].starts_with('/')) return std::nullopt;
  if (parts.size() > 3) throw bad_volume(text, "use SOURCE:DIR[:OPTIONS]");
  record::HostFolder folder;
  folder.source = host_path(parts.front(), "-v");
  folder.path = parts[1];
  folder.make_source = true;
  if (!folder.path.starts_with('/')) throw bad_volume(text, "the path in the container must be absolute");
  if (parts.size() == 3) {
    folder.mode = parts[2];
    for (const std::string& word : split(parts[2], ',')) parse_folder_option(text, word, folder);
  }
  return folder;
}

std::pair<std::string, std::string> parse_tmpfs(std::string_view text) {
  const std::size_t colon = text.find(':');
  return {std::string(text.substr(0, colon)),
          std::string(colon == std::string_view::npos ? "" : text.substr(colon + 1))};
}

void parse_mount(std::string_view text, engine::CreateOptions& result) {
  Mount mount;
  for (const std::string& field : split(text, ',')) parse_field(field, mount);
  if (mount.target.empty())
    throw Error(Code::invalid_argument, "--mount '{}': no target is given", printable(text));
  if (mount.type == "tmpfs") return enter_tmpfs(text, std::move(mount), result);
  if (mount.type == "volume") return enter_volume(text, mount, result);
  if (mount.type == "bind") return enter_folder(text, mount, result);
  throw Error(Code::invalid_argument, "--mount '{}': the type must be volume, bind or tmpfs",
              printable(text));
}

void parse(const MountOptions& options, engine::CreateOptions& result) {
  for (const std::string& text : options.volumes) {
    if (std::optional<record::HostFolder> folder = parse_folder(text)) {
      result.folders.push_back(std::move(*folder));
    } else {
      result.volumes.push_back(parse_volume(text));
    }
  }
  for (const std::string& text : options.mounts) parse_mount(text, result);
  for (const std::string& text : options.tmpfs) result.tmpfs.push_back(parse_tmpfs(text));
}

}  // namespace berth::cli
