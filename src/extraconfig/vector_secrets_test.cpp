#include <gtest/gtest.h>

#include <optional>

#include "base/error.hpp"
#include "extraconfig/codec.hpp"
#include "extraconfig/seal.hpp"
#include "extraconfig/vector_case_test.hpp"

/// Sealed values of the vector file.
namespace berth::extraconfig::vectors {
namespace {

using describe::Type;

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

}  // namespace

void add_secret_ops(Ops& ops) {
  ops.cases["secret_encode"] = run_secret_encode;
  ops.cases["secret_decode"] = run_secret_decode;
  ops.rows["secret_value"] = run_secret_value;
  ops.rows["secret_key_text"] = run_secret_key_text;
}

}  // namespace berth::extraconfig::vectors
