#pragma once

#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json.hpp>

#include "extraconfig/options.hpp"
#include "extraconfig/vector_types_test.hpp"

/// The cases of the vector file, and what the parts of their test share.
namespace berth::extraconfig::vectors {

std::string as_string(const json::value& value);
/// Empty when there is no such member.
std::string text_at(const json::object& object, std::string_view name);
std::vector<std::string> strings(const json::value& array);
Pairs pairs_of(const json::value& object);
Options options_of(const json::value& array);
std::string bytes_from_hex(std::string_view hex);

bool includes(const Pairs& all, const Pairs& part);

Pairs encode_value(const describe::Type& type, const Value& value, std::string_view prefix = {});
Value decode_value(const describe::Type& type, const Pairs& pairs, std::string_view prefix = {},
                   Value into = {}, bool is_new = true);

/// Runs `decoding`; whether it was refused with an Error that names a key.
bool is_refused(const std::function<void()>& decoding);

class Case {
 public:
  Case(const json::object& body, Types& types) : body_(body), types_(types) {
    if (const auto* words = body.if_contains("weakness")) {
      for (const auto& word : words->as_array()) weakness_.insert(as_string(word));
    }
  }

  bool is_weak() const { return !weakness_.empty(); }
  bool is_weak(const std::string& word) const { return weakness_.contains(word); }
  bool is_weak_only(const std::string& word) const { return is_weak(word) && weakness_.size() == 1; }
  bool has(std::string_view name) const { return body_.contains(name); }
  const json::value& at(std::string_view name) const { return body_.at(name); }
  std::string text(std::string_view name) const { return text_at(body_, name); }
  const describe::Type& type() const {
    const describe::Type* type = types_.make(at("type"));
    if (type == nullptr) throw std::runtime_error("a type that cannot be carried");
    return *type;
  }
  Value value(std::string_view name) const { return read_value(type(), at(name)); }

 private:
  const json::object& body_;
  Types& types_;
  std::set<std::string> weakness_;
};

/// What is done for the cases and for the table rows of an op, by its name.
struct Ops {
  std::map<std::string, void (*)(const Case&), std::less<>> cases;
  std::map<std::string, void (*)(const Case&, const json::object&), std::less<>> rows;
};
void add_value_ops(Ops& ops);
void add_secret_ops(Ops& ops);
void add_table_ops(Ops& ops);

}  // namespace berth::extraconfig::vectors
