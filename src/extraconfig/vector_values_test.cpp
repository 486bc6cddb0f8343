#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/text.hpp"
#include "extraconfig/codec.hpp"
#include "extraconfig/vector_case_test.hpp"

/// Values of the vector file to pairs and back.
namespace berth::extraconfig::vectors {
namespace {

using describe::Type;

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
    // These have no key in the format. (The descriptions of C++ types refuse misspelt scopes.) A structure
    // that has no other fields is marked where it would come back as missing.
    EXPECT_TRUE(includes(pairs, expected));
    for (const auto& pair : diff(expected, pairs).changed) EXPECT_EQ(pair.second, "") << pair.first;
    if (pairs == expected) check_roundtrip(test, type, value, pairs);
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
  if (test.is_weak_only("nil-empty")) {
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

}  // namespace

void add_value_ops(Ops& ops) {
  ops.cases["encode"] = run_encode;
  ops.cases["decode"] = run_decode;
  ops.cases["reencode"] = run_reencode;
}

}  // namespace berth::extraconfig::vectors
