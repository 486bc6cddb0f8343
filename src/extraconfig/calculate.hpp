#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "describe/describe.hpp"

namespace berth::extraconfig {

/// The keys of a part of a described value. `path` names it: field names as in Go joined by '.', map keys and
/// list indices as further parts or in brackets, a text with other characters quoted, '*' for all there are:
///   Sessions.4fbcd2.Cmd.Args      Sessions["a.b"].Started      Networks[*].Assigned.IP
/// The empty path is the prefix itself. Without a value (nullptr) any map key and index is taken, and '*'
/// only selects fields. Throws not-found for a part that is not there, invalid-argument for a path that
/// cannot be.
std::vector<std::string> calculate_keys(const describe::Type& type, const void* value, std::string_view path,
                                        std::string_view prefix = {});

template <typename T>
std::vector<std::string> calculate_keys(const T& value, std::string_view path, std::string_view prefix = {}) {
  return calculate_keys(describe::type_of<T>(), &value, path, prefix);
}

/// The only key of the part; throws invalid-argument when there is not exactly one.
std::string calculate_key(const describe::Type& type, const void* value, std::string_view path,
                          std::string_view prefix = {});

template <typename T>
std::string calculate_key(std::string_view path, std::string_view prefix = {}) {
  return calculate_key(describe::type_of<T>(), nullptr, path, prefix);
}

}  // namespace berth::extraconfig
