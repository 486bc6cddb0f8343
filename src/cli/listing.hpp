#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::cli {

/// What a listing command shows: named fields, of which a table shows those with a header.
struct Listing {
  struct Field {
    std::string name;    ///< in templates and JSON
    std::string header;  ///< in tables
    bool in_table = true;
  };
  std::vector<Field> fields;
  std::vector<std::vector<std::string>> rows;  ///< as many cells as fields
};

/// `format` is empty for the default table, "json" for an object a line, or a template with Docker's
/// {{.Field}} and
/// {{json .}}, with a table's columns behind "table ". Throws invalid-argument for a template that cannot be.
std::string render(const Listing& listing, std::string_view format);

/// Columns as Docker lays them out: at least ten wide, three blanks between.
std::string render_table(const std::vector<std::vector<std::string>>& rows);

/// JSON with four blanks per level, as `docker inspect` shows it. Throws corrupt for what is no JSON.
std::string indent_json(std::string_view json);

}  // namespace berth::cli
