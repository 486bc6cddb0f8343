#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/parser.hpp"
#include "engine/create_options.hpp"

namespace berth::cli {

/// What `run` and `create` mount, as it was typed.
struct MountOptions {
  std::vector<std::string> volumes;
  std::vector<std::string> mounts;
  std::vector<std::string> tmpfs;
};

void declare(MountOptions& options, Parser& parser);

/// Enters what they mean. Throws invalid-argument for what means nothing.
void parse(const MountOptions& options, engine::CreateOptions& result);

/// "[NAME:]PATH[:OPTIONS]" of -v.
engine::VolumeRequest parse_volume(std::string_view text);

/// "SOURCE:PATH[:OPTIONS]" of -v with a path of this host, which begins with '/' or '.'; nothing for others.
std::optional<record::HostFolder> parse_folder(std::string_view text);

/// "PATH[:OPTIONS]" of --tmpfs.
std::pair<std::string, std::string> parse_tmpfs(std::string_view text);

/// "KEY=VALUE,..." of --mount, entered where it belongs.
void parse_mount(std::string_view text, engine::CreateOptions& result);

}  // namespace berth::cli
