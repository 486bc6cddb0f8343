#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <set>

#include <boost/json.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "describe/text.hpp"
#include "extraconfig/calculate.hpp"
#include "extraconfig/codec.hpp"
#include "extraconfig/options.hpp"
#include "extraconfig/seal.hpp"
#include "extraconfig/vector_types_test.hpp"

/// Compares the codec with recorded results of the original: the file named by VECTORS, otherwise the copy
/// beside this test. What the file calls a weakness is not repeated; for each, a rule says what is done
/// instead.
namespace berth::extraconfig::vectors {
namespace {

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

bool is_zero_text(const std::string& text) {
  static const std::set<std::string> kZero = {"",      "0",     "-1",
                                              "false", "0E+00", "0001-01-01 00:00:00 +0000 UTC"};
  return kZero.contains(text);
}

/// Remembers the order of the writes.
class RecordingSink final : public Sink {
 public:
  void put(std::string_view key, std::string_view value) override { writes.emplace_back(key, value); }
  Options writes;
};

class Case {
 public:
  Case(const json::object& body, Types& types) : body_(body), types_(types) {
    if (const auto* words = body.if_contains("weakness")) {
      for (const auto& word : words->as_array()) weakness_.insert(as_string(word));
    }
  }

  bool is_weak() const { return !weakness_.empty(); }
  bool is_weak(const std::string& word) const { return weakness_.contains(word); }
  bool has(std::string_view name) const { return body_.contains(name); }
  const json::value& at(std::string_view name) const { return body_.at(name); }
  std::string text(std::string_view name) const { return text_at(body_, name); }
  const Type& type() const {
    const Type* type = types_.make(at("type"));
    if (type == nullptr) throw std::runtime_error("a type that cannot be carried");
    return *type;
  }
  Value value(std::string_view name) const { return read_value(type(), at(name)); }
  Types& types() const { return types_; }

 private:
  const json::object& body_;
  Types& types_;
  std::set<std::string> weakness_;
};

Pairs encode_value(const Type& type, const Value& value, std::string_view prefix = {}) {
  Pairs pairs;
  PairsSink sink(pairs);
  encode(type, &value, sink, prefix);
  return pairs;
}

Value decode_value(const Type& type, const Pairs& pairs, std::string_view prefix = {}, Value into = {},
                   bool is_new = true) {
  if (is_new) into = new_value(type);
  PairsSource source(pairs);
  decode(source, type, &into, prefix);
  return into;
}

/// Runs `decoding`; whether it was refused with an Error that names a key.
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

void check_roundtrip(const Case& test, const Type& type, const Value& value, const Pairs& pairs) {
  const json::object& recorded = test.at("roundtrip").as_object();
  const auto* same = recorded.if_contains("same_as_input");
  const bool is_same = same != nullptr && same->as_bool();
  const Value expected = is_same ? value : read_value(type, recorded.at("value"));
  EXPECT_TRUE(equal(type, decode_value(type, pairs, test.text("prefix")), expected));
}

/// A new form is written only for a value that would be lost: what the original wrote and what ours writes
/// agree, apart from the values whose keys or lists had to change their form.
void check_weak_encode(const Case& test, const Type& type, const Value& value, const Pairs& pairs) {
  const Pairs expected = pairs_of(test.at("expect"));
  if (test.is_weak("filter")) {
    // Exactly the keys of the wanted scopes: hidden keys are neither read-only nor read-write.
    const auto bits = test.at("filter").as_int64();
    const bool is_complement = bits > 255;
    const auto scopes = static_cast<Scopes>(is_complement ? ~bits & 255 : bits);
    const Pairs all = encode_value(type, value);
    const Pairs ours = is_complement ? filter(all, kAnyScope, scopes) : filter(all, scopes);
    EXPECT_TRUE(includes(expected, ours));
    for (const auto& pair : expected) {
      const bool wanted = describe::has_any(scopes_of(pair.first), scopes) != is_complement;
      EXPECT_EQ(ours.contains(pair.first), wanted) << pair.first;
    }
    return;
  }
  if (test.is_weak("hidden-np") || test.is_weak("scope-words")) {
    // These have no key in the format. (The descriptions of C++ types refuse misspelt scopes.)
    EXPECT_EQ(pairs, expected);
    check_roundtrip(test, type, value, pairs);
    return;
  }
  // Everything comes back; what has no loss in the old form keeps it.
  Value stored = value;
  drop_unstored(type, stored);
  EXPECT_TRUE(equal(type, decode_value(type, pairs, test.text("prefix")), stored));
  if (test.is_weak("panic") || test.is_weak("endless")) {
    EXPECT_EQ(pairs, expected);
  } else if (!test.is_weak("separator")) {
    // A '.', '/' or '@' in a map key is harmless unless it meets another entry.
    EXPECT_TRUE(includes(pairs, expected) || test.is_weak("key-text"));
  }
  if (test.is_weak("nil-empty")) {
    for (const auto& pair : diff(expected, pairs).changed)
      EXPECT_TRUE(pair.second.empty() || pair.second == "-1");
  }
}

void run_encode(const Case& test) {
  const Type& type = test.type();
  const Value value = test.value("value");
  const std::string prefix = test.text("prefix");
  if (test.is_weak("prefix")) {
    EXPECT_THROW(encode_value(type, value, prefix), Error);
    return;
  }
  RecordingSink recording;
  encode(type, &value, recording, prefix);
  Pairs pairs(recording.writes.rbegin(), recording.writes.rend());
  if (test.is_weak()) return check_weak_encode(test, type, value, pairs);
  if (test.has("filter")) {
    const Scopes wanted = static_cast<Scopes>(test.at("filter").as_int64());
    Pairs through_sink;
    PairsSink inner(through_sink);
    FilterSink sink(inner, wanted);
    encode(type, &value, sink, prefix);
    pairs = filter(pairs, wanted);
    EXPECT_EQ(pairs, through_sink);
    std::erase_if(recording.writes, [&](const auto& pair) { return !pairs.contains(pair.first); });
  }
  EXPECT_EQ(pairs, pairs_of(test.at("expect")));
  if (test.has("writes")) {
    EXPECT_EQ(recording.writes, options_of(test.at("writes")));
  }
  if (test.has("order")) {
    std::vector<std::string> order;
    for (const auto& pair : recording.writes) order.push_back(pair.first);
    EXPECT_EQ(order, strings(test.at("order")));
  }
  if (test.has("roundtrip")) check_roundtrip(test, type, value, pairs);
}

/// The texts that are joined in an index.
std::set<std::string> parts(std::string_view text) {
  const auto list = split(text, kSeparator);
  return {list.begin(), list.end()};
}

/// Each pair of a result comes from the source, was there before, or is a zero of something new; and what the
/// source says is taken, maps being merged. A source that lists what it does not have is refused. When the
/// source is said to be everything, nothing of what was there before is left.
void check_weak_decode(const Case& test, const Type& type, const Pairs& source) {
  const std::string prefix = test.text("prefix");
  const Value initial = test.value("initial");
  Value value = initial;
  const bool refused = is_refused([&] { value = decode_value(type, source, prefix, initial, false); });
  if (test.is_weak("bad-input")) {
    EXPECT_TRUE(refused);
    return;
  }
  const bool refused_anew = is_refused([&] { decode_value(type, source, prefix); });
  EXPECT_EQ(refused, refused_anew) << "what was there before must not decide whether a source is damaged";
  if (refused) {
    EXPECT_FALSE(source.empty());
    return;
  }
  Value replaced = initial;
  PairsSource everything(source);
  decode(everything, type, &replaced, prefix, Absent::reset);
  Value fresh = decode_value(type, source, prefix);
  drop_unstored(type, replaced);
  drop_unstored(type, fresh);
  EXPECT_TRUE(equal(type, replaced, fresh));
  const Pairs before = encode_value(type, initial, prefix);
  const Pairs after = encode_value(type, value, prefix);
  if (source.empty()) {
    EXPECT_EQ(after, before);
  }
  for (const auto& [key, text] : after) {
    const auto given = source.find(key);
    const auto old = before.find(key);
    if (given != source.end()) {
      const bool merged = old != before.end() && parts(text) == parts(given->second + '|' + old->second);
      EXPECT_TRUE(text == given->second || merged) << key;
    } else {
      EXPECT_TRUE((old != before.end() && old->second == text) || is_zero_text(text)) << key;
    }
  }
}

void run_decode(const Case& test) {
  const Type& type = test.type();
  const Pairs source = pairs_of(test.at("source"));
  if (test.is_weak()) return check_weak_decode(test, type, source);
  const Value result = decode_value(type, source, test.text("prefix"), test.value("initial"), false);
  EXPECT_TRUE(equal(type, result, test.value("result")));
}

/// Storing again leaves what a fresh store would have, and the removed keys are known.
void run_reencode(const Case& test) {
  const Type& type = test.type();
  const std::string prefix = test.text("prefix");
  const Value second = test.value("second");
  Pairs stored = encode_value(type, test.value("first"), prefix);
  EXPECT_EQ(stored, pairs_of(test.at("after_first")));
  const Pairs fresh = encode_value(type, second, prefix);
  const Difference difference = diff(below(stored, prefix), fresh);
  extraconfig::apply(difference, stored);
  EXPECT_EQ(stored, fresh);
  if (test.has("stale_keys")) {
    EXPECT_EQ(difference.removed, strings(test.at("stale_keys")));
  }
  EXPECT_TRUE(equal(type, decode_value(type, stored, prefix), second));
}

void run_key_table(const Case&, const json::object& row) {
  const Scopes scopes = scopes_from_words(strings(row.at("scopes")));
  EXPECT_EQ(make_key(scopes, text_at(row, "prefix"), text_at(row, "key")), text_at(row, "expect"));
}

void run_field_keys(const Case& test, const json::object& row) {
  for (const auto& field : static_cast<const describe::StructureType&>(test.type()).fields()) {
    if (field.name != text_at(row, "field")) continue;
    std::string key;
    field_key(field, text_at(row, "prefix"), key);
    EXPECT_EQ(key, text_at(row, "key"));
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
    for (const auto& option : pairs_from_options(existing)) {
      const auto sent = pairs_from_options(updates).find(option.first);
      EXPECT_FALSE(sent != pairs_from_options(updates).end() && sent->second == option.second);
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

void run_secret_value(const Case&, const json::object& row) {
  const SealingKey key = SealingKey::parse(text_at(row, "key"));
  const std::string text = bytes_from_hex(text_at(row, "plaintext_hex"));
  EXPECT_EQ(key.seal(text, bytes_from_hex(text_at(row, "nonce_hex"))), text_at(row, "value"));
  EXPECT_EQ(key.open(text_at(row, "value")), text);
}

void run_secret_key_text(const Case&, const json::object& row) {
  const std::string text = text_at(row, "text");
  if (row.at("ok").as_bool()) {
    EXPECT_EQ(SealingKey::parse(text).to_string(), text_at(row, "again"));
  } else {
    EXPECT_THROW(SealingKey::parse(text), Error);
  }
}

struct Sealed {
  Pairs clear;
  Pairs secret;  ///< opened
  Pairs stored;
};

Sealed seal(const Case& test, const Type& type, const Value& value) {
  const SealingKey key = SealingKey::parse(test.text("key"));
  Sealed result;
  PairsSink inner(result.stored);
  SealingSink sealing(inner, key);
  const bool filtered = test.has("filter_outside");
  FilterSink filter(sealing,
                    filtered ? static_cast<Scopes>(test.at("filter_outside").as_int64()) : kAnyScope);
  encode(type, &value, filter);
  for (const auto& [name, text] : result.stored) {
    if (is_secret(name)) {
      result.secret[name] = key.open(text).value();
    } else {
      result.clear[name] = text;
    }
  }
  return result;
}

void run_secret_encode(const Case& test) {
  const Type& type = test.type();
  Value value = test.value("value");
  const Sealed sealed = seal(test, type, value);
  drop_unstored(type, value);
  const Pairs clear = pairs_of(test.at("clear"));
  const Pairs secret = pairs_of(test.at("encrypted"));

  Value opened = new_value(type);
  PairsSource inner(sealed.stored);
  OpeningSource source(inner, std::nullopt);
  decode(source, type, &opened);
  if (test.is_weak("key-text")) {
    // A map key does not turn its value into a secret.
    EXPECT_TRUE(sealed.secret.empty());
    EXPECT_TRUE(equal(type, opened, value));
  } else if (test.is_weak("dropped-kind")) {
    EXPECT_TRUE(equal(type, opened, value));
    EXPECT_TRUE(includes(sealed.secret, secret));
  } else {
    EXPECT_EQ(sealed.clear, clear);
    EXPECT_EQ(sealed.secret, secret);
    EXPECT_TRUE(equal(type, opened, read_value(type, test.at("roundtrip").at("value"))));
    for (const auto& [key, length] : test.at("encrypted_text_length").as_object()) {
      EXPECT_EQ(sealed.stored.at(key).size(), static_cast<std::size_t>(length.as_int64()));
    }
  }
}

/// A value that cannot be opened, and a damaged key, are errors.
void run_secret_decode(const Case& test) {
  const Type& type = test.type();
  const Pairs pairs = pairs_of(test.at("source"));
  std::optional<SealingKey> key;
  if (!test.at("key").is_null()) key = SealingKey::parse(test.text("key"));
  Value value = test.value("initial");
  std::optional<SealingKey> key_after;
  const bool refused = is_refused([&] {
    PairsSource inner(pairs);
    OpeningSource source(inner, key);
    decode(source, type, &value);
    key_after = source.key();
  });
  EXPECT_EQ(refused, test.is_weak());
  if (refused) return;
  EXPECT_TRUE(equal(type, value, test.value("result")));
  EXPECT_EQ(key_after ? key_after->to_string() : "",
            test.at("key_after").is_null() ? "" : test.text("key_after"));
}

using RunCase = void (*)(const Case&);
using RunRow = void (*)(const Case&, const json::object&);

const std::map<std::string, RunCase, std::less<>> kCases = {
    {"encode", run_encode},
    {"decode", run_decode},
    {"reencode", run_reencode},
    {"option_map", run_option_map},
    {"option_from_map", run_option_from_map},
    {"option_updates", run_option_updates},
    {"secret_encode", run_secret_encode},
    {"secret_decode", run_secret_decode},
};

const std::map<std::string, RunRow, std::less<>> kTables = {
    {"key_table", run_key_table},
    {"field_keys", run_field_keys},
    {"scope_bits", run_scope_bits},
    {"scope_of_key", run_scope_of_key},
    {"append_key", run_append_key},
    {"inject_prefix", run_inject_prefix},
    {"calculate_keys", run_calculate_keys},
    {"secret_value", run_secret_value},
    {"secret_key_text", run_secret_key_text},
};

std::filesystem::path vector_file() {
  const char* named = std::getenv("VECTORS");
  if (named != nullptr) return named;
  return std::filesystem::path(__FILE__).parent_path() / "testdata/extraconfig.json";
}

TEST(Vectors, AgreeWithTheOriginal) {
  const json::value file = json::parse(read_file(vector_file()));
  ASSERT_EQ(file.at("format").as_int64(), 1);
  Types types(file.at("types").as_object());
  std::size_t cases = 0;
  std::size_t rows = 0;
  std::size_t weak = 0;
  for (const json::value& body : file.at("cases").as_array()) {
    const Case test(body.as_object(), types);
    SCOPED_TRACE(test.text("name"));
    const std::string op = test.text("op");
    ++cases;
    weak += test.is_weak() ? 1 : 0;
    try {
      if (const auto one = kCases.find(op); one != kCases.end()) {
        one->second(test);
        continue;
      }
      const auto table = kTables.find(op);
      ASSERT_NE(table, kTables.end()) << "unknown op " << op;
      for (const json::value& row : test.at("rows").as_array()) {
        SCOPED_TRACE(json::serialize(row));
        table->second(test, row.as_object());
        ++rows;
      }
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
  std::cout << cases << " cases compared, " << rows << " table rows; of the cases, " << weak
            << " by a rule of ours\n";
}

}  // namespace
}  // namespace berth::extraconfig::vectors
