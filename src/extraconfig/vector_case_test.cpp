#include "extraconfig/vector_case_test.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.hpp"
#include "extraconfig/codec.hpp"

namespace berth::extraconfig::vectors {

using describe::Type;

std::string as_string(const json::value& value) {
  return std::string(std::string_view(value.as_string()));
}

std::string text_at(const json::object& object, std::string_view name) {
  const auto* found = object.if_contains(name);
  return found != nullptr ? as_string(*found) : std::string();
}

std::vector<std::string> strings(const json::value& array) {
  std::vector<std::string> result;
  for (const auto& one : array.as_array()) result.push_back(as_string(one));
  return result;
}

Pairs pairs_of(const json::value& object) {
  Pairs result;
  for (const auto& [key, value] : object.as_object()) result.emplace(key, as_string(value));
  return result;
}

Options options_of(const json::value& array) {
  Options result;
  if (array.is_null()) return result;
  for (const auto& one : array.as_array()) result.emplace_back(as_string(one.at(0)), as_string(one.at(1)));
  return result;
}

std::string bytes_from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

bool includes(const Pairs& all, const Pairs& part) {
  return std::all_of(part.begin(), part.end(), [&](const auto& pair) {
    const auto found = all.find(pair.first);
    return found != all.end() && found->second == pair.second;
  });
}

Pairs encode_value(const Type& type, const Value& value, std::string_view prefix) {
  Pairs pairs;
  PairsSink sink(pairs);
  encode(type, &value, sink, prefix);
  return pairs;
}

Value decode_value(const Type& type, const Pairs& pairs, std::string_view prefix, Value into, bool is_new) {
  if (is_new) into = new_value(type);
  PairsSource source(pairs);
  decode(source, type, &into, prefix);
  return into;
}

bool is_refused(const std::function<void()>& decoding) {
  try {
    decoding();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::corrupt) << error.what();
    EXPECT_TRUE(error.message().starts_with("key \"")) << error.what();
    return true;
  }
  return false;
}

}  // namespace berth::extraconfig::vectors
