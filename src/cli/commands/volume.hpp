#pragma once

#include "cli/command.hpp"

/// The commands of `berth volume`.
namespace berth::cli::command {

int volume_create(Context&, const Arguments&);
int volume_inspect(Context&, const Arguments&);
int volume_ls(Context&, const Arguments&);
int volume_prune(Context&, const Arguments&);
int volume_rm(Context&, const Arguments&);

}  // namespace berth::cli::command
