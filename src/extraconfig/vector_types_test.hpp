#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/value.hpp>

#include "describe/type.hpp"

/// Types made at run time from the vector file's descriptions, and their values.
namespace berth::extraconfig::vectors {

namespace json = boost::json;

/// A value of any run-time type; which members are used depends on the type.
struct Value {
  bool boolean = false;
  std::int64_t integer = 0;
  std::uint64_t number = 0;
  double floating = 0;
  std::string text;  ///< texts and bytes
  describe::Time time;
  std::vector<Value> parts;  ///< fields of a structure, elements of a list, the target of a pointer
  std::map<std::string, std::pair<Value, Value>> entries;  ///< of a map, by the text of the key
};

class Types {
 public:
  /// `descriptions` is the file's "types"; it must outlive this.
  explicit Types(const json::object& descriptions) : descriptions_(descriptions) {}

  /// The type, or nullptr for one that holds something that cannot be carried (an interface, a channel).
  const describe::Type* make(const json::value& description);

  /// Memory for texts that types refer to.
  std::string_view keep(std::string_view text) { return texts_.emplace_back(text); }

 private:
  const describe::Type* named(std::string_view name);
  const describe::Type* from_word(std::string_view word);
  const describe::Type* structure(const json::value& fields, std::string_view name);

  const json::object& descriptions_;
  std::deque<std::string> texts_;
  std::map<std::string, const describe::Type*, std::less<>> named_;
  std::set<std::string_view> open_;  ///< names that are being looked up
  std::vector<std::unique_ptr<describe::Type>> types_;
};

Value new_value(const describe::Type& type);
Value read_value(const describe::Type& type, const json::value& description);
/// Lists and maps that are nil and that are empty are the same.
bool equal(const describe::Type& type, const Value& a, const Value& b);

/// Empties the fields that are not stored or not read back.
void drop_unstored(const describe::Type& type, Value& value);

/// The scopes of a list of words, as the format combines them.
describe::Scopes scopes_from_words(const std::vector<std::string>& words);

}  // namespace berth::extraconfig::vectors
