#pragma once

#include "cli/context.hpp"
#include "cli/parser.hpp"

/// What `berth config` does, by its next word.
namespace berth::cli::command {

int config_encode(Context&, const Arguments&);
int config_decode(Context&, const Arguments&);
int config_keys(Context&, const Arguments&);
int config_diff(Context&, const Arguments&);
int config_generate_key(Context&, const Arguments&);

}  // namespace berth::cli::command
