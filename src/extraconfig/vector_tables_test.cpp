#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.hpp"
#include "extraconfig/calculate.hpp"
#include "extraconfig/field_keys.hpp"
#include "extraconfig/vector_case_test.hpp"

/// Tables of the vector file: keys, scopes and lists of options.
namespace berth::extraconfig::vectors {
namespace {

using describe::Type;

void run_key_table(const Case&, const json::object& row) {
  const Scopes scopes = scopes_from_words(strings(row.at("scopes")));
  EXPECT_EQ(make_key(scopes, text_at(row, "prefix"), text_at(row, "key")), text_at(row, "expect"));
}

void run_field_keys(const Case& test, const json::object& row) {
  for (const auto& field : static_cast<const describe::StructureType&>(test.type()).fields()) {
    if (field.name != text_at(row, "field")) continue;
    const std::string prefix = text_at(row, "prefix");
    EXPECT_EQ(FieldKeys(prefix).of(field), text_at(row, "key"));
    if (const auto* recurse = row.if_contains("recurse")) {
      const describe::Recursion state = field.apply({});
      EXPECT_EQ(state.depth, recurse->at("depth").as_int64());
      EXPECT_EQ(state.follow, recurse->at("follow").as_bool());
      EXPECT_EQ(state.skip_encode, recurse->at("skip_encode").as_bool());
      EXPECT_EQ(state.skip_decode, recurse->at("skip_decode").as_bool());
    }
    return;
  }
  FAIL() << "no such field";
}

void run_scope_bits(const Case&, const json::object& row) {
  const Scopes scopes = scopes_from_words(strings(row.at("scopes")));
  EXPECT_EQ(static_cast<std::int64_t>(scopes), row.at("bits").as_int64());
}

void run_scope_of_key(const Case&, const json::object& row) {
  const std::string key = text_at(row, "key");
  EXPECT_EQ(static_cast<std::int64_t>(inherited_scopes(key)), row.at("bits").as_int64());
  EXPECT_EQ(scopes_from_words(strings(row.at("scopes"))), inherited_scopes(key));
  EXPECT_EQ(is_secret(key), row.at("secret").as_bool());
  EXPECT_EQ(is_non_persistent(key), row.at("non_persistent").as_bool());
}

void run_append_key(const Case&, const json::object& row) {
  EXPECT_EQ(append_key(text_at(row, "prefix"), text_at(row, "separator"), text_at(row, "value")),
            text_at(row, "expect"));
}

/// A key that is not in the namespace, or is nothing but the namespace, is refused.
void run_inject_prefix(const Case&, const json::object& row) {
  const std::string key = text_at(row, "key");
  const std::string prefix = text_at(row, "prefix");
  const bool movable = prefix.empty() || (key.starts_with(kNamespace) && key.size() > kNamespace.size());
  if (movable) {
    EXPECT_EQ(inject_prefix(prefix, key), text_at(row, "expect"));
  } else {
    EXPECT_THROW(inject_prefix(prefix, key), Error);
  }
}

/// Where the original names keys that are written, ours are the same; it also names keys that nobody writes
/// (promoted fields, lists of addresses, fields without a key), which ours does not.
void run_calculate_keys(const Case& test, const json::object& row) {
  const Type& type = test.type();
  const Value value = test.value("value");
  const std::string path = text_at(row, "field");
  const std::string prefix = text_at(row, "prefix");
  if (row.contains("panics")) {
    EXPECT_THROW(calculate_keys(type, &value, path, prefix), Error);
    return;
  }
  const std::vector<std::string> expected = strings(row.at("expect"));
  std::vector<std::string> ours;
  try {
    ours = calculate_keys(type, &value, path, prefix);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::not_found);
  }
  if (row.contains("any_order")) std::sort(ours.begin(), ours.end());
  if (!test.is_weak() || ours == expected) {
    EXPECT_EQ(ours, expected);
    return;
  }
  const Pairs pairs = encode_value(type, value, prefix);
  const auto real = [&](const std::string& key) {
    return pairs.contains(key) || (!key.empty() && !below(pairs, key).empty());
  };
  EXPECT_FALSE(std::all_of(expected.begin(), expected.end(), real));
  EXPECT_TRUE(std::all_of(ours.begin(), ours.end(), real));
}

void run_option_map(const Case& test) {
  EXPECT_EQ(pairs_from_options(options_of(test.at("options"))), pairs_of(test.at("expect")));
}

void run_option_from_map(const Case& test) {
  EXPECT_EQ(options_from_pairs(pairs_of(test.at("map")), test.at("escape").as_bool()),
            options_of(test.at("expect")));
}

/// Unchanged values are not sent; with removal, the machine ends with the wanted pairs and no others.
void run_option_updates(const Case& test) {
  const Options existing = options_of(test.at("existing"));
  const Pairs wanted = pairs_of(test.at("new"));
  const Options updates = option_updates(existing, wanted, false);
  const Options expected = options_of(test.at("expect"));
  if (test.is_weak("resend")) {
    for (const auto& update : updates) EXPECT_NE(std::count(expected.begin(), expected.end(), update), 0);
    const Pairs sent = pairs_from_options(updates);
    for (const auto& [key, text] : pairs_from_options(existing)) {
      const auto found = sent.find(key);
      EXPECT_FALSE(found != sent.end() && found->second == text) << key;
    }
  } else {
    EXPECT_EQ(updates, expected);
  }
  Pairs machine = pairs_from_options(existing);
  for (const auto& [key, text] : option_updates(existing, wanted, true)) {
    if (text.empty()) machine.erase(key);
    if (!text.empty()) machine[key] = text == "<nil>" ? "" : text;
  }
  EXPECT_EQ(machine, wanted);
}

}  // namespace

void add_table_ops(Ops& ops) {
  ops.rows["key_table"] = run_key_table;
  ops.rows["field_keys"] = run_field_keys;
  ops.rows["scope_bits"] = run_scope_bits;
  ops.rows["scope_of_key"] = run_scope_of_key;
  ops.rows["append_key"] = run_append_key;
  ops.rows["inject_prefix"] = run_inject_prefix;
  ops.rows["calculate_keys"] = run_calculate_keys;
  ops.cases["option_map"] = run_option_map;
  ops.cases["option_from_map"] = run_option_from_map;
  ops.cases["option_updates"] = run_option_updates;
}

}  // namespace berth::extraconfig::vectors
