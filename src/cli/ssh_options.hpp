#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/context.hpp"

namespace berth::cli {

/// Keywords of ssh_config(5) with their values, quoted as that file wants them.
using SshOptions = std::vector<std::pair<std::string, std::string>>;

/// By which OpenSSH's programs reach a running container; `user` empty: its own.
SshOptions ssh_options(Context& context, const record::Pod& pod, const std::string& user = {});

/// A value of ssh_config(5): in quotes, with % doubled. Throws invalid-argument for what cannot be in one.
std::string quote_ssh_value(std::string_view value);
/// One word of a command that a shell reads.
std::string quote_shell_word(std::string_view word);

}  // namespace berth::cli
