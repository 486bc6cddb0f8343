#pragma once

#include <string>
#include <string_view>

namespace berth::cli {

/// Fills a template's {{.Path.To.Member}} and {{json .Path}} from a JSON document: text as it is, all else as
/// JSON. Throws invalid-argument for a template that cannot be and for a member that is not there, corrupt
/// for no JSON.
std::string fill_json_template(std::string_view text, std::string_view document);

}  // namespace berth::cli
