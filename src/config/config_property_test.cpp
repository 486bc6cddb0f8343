#include <gtest/gtest.h>

#include "base/error.hpp"
#include "config/appliance.hpp"
#include "describe/json.hpp"
#include "extraconfig/codec.hpp"
#include "extraconfig/pair_table.hpp"
#include "extraconfig/random_value_test.hpp"
#include "extraconfig/seal.hpp"

/// Properties of the configurations, for random ones.
namespace berth::config {
namespace {

using extraconfig::Pairs;
using extraconfig::RandomValue;

constexpr std::uint32_t kRounds = 60;

/// Hidden fields below non-persistent ones, and those of depth 0, are not stored.
void drop_unstored(ExecutorConfig& config) {
  for (auto& exec : config.execs) exec.second.common.notes.clear();
}
void drop_unstored(ApplianceConfig& config) {
  drop_unstored(config.executor);
  config.container.container_vm_size = {};
  config.container.container_stores.clear();
  config.registry.registry_blacklist.clear();
}

template <typename T>
T random_config(std::uint32_t seed) {
  T config = RandomValue(seed).make<T>();
  drop_unstored(config);
  return config;
}

template <typename T>
class ConfigProperties : public testing::Test {};
using ConfigTypes = testing::Types<ExecutorConfig, ApplianceConfig>;
TYPED_TEST_SUITE(ConfigProperties, ConfigTypes);

TYPED_TEST(ConfigProperties, DecodingUndoesEncoding) {
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    const auto config = random_config<TypeParam>(seed);
    const Pairs pairs = extraconfig::encode(config);
    TypeParam again;
    extraconfig::decode(pairs, again);
    ASSERT_EQ(describe::to_json(again), describe::to_json(config)) << "seed " << seed;
    ASSERT_EQ(again, config) << "seed " << seed;
    ASSERT_EQ(extraconfig::encode(again), pairs) << "seed " << seed;
    extraconfig::PairTable table;
    extraconfig::encode(config, table);
    ASSERT_EQ(table.to_pairs(), pairs);
    ASSERT_EQ(extraconfig::decode_new<TypeParam>(table), config);
  }
}

TYPED_TEST(ConfigProperties, StoringAgainLeavesNothingStale) {
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    const auto second = random_config<TypeParam>(seed + kRounds);
    Pairs stored = extraconfig::encode(random_config<TypeParam>(seed));
    extraconfig::update(second, stored);
    ASSERT_EQ(stored, extraconfig::encode(second));
  }
}

TYPED_TEST(ConfigProperties, SecretsAreSealedAndOpened) {
  const auto key = extraconfig::SealingKey::generate();
  std::size_t secrets = 0;
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    const auto config = random_config<TypeParam>(seed);
    const Pairs plain = extraconfig::encode(config);
    Pairs stored;
    extraconfig::PairsSink sink(stored);
    extraconfig::SealingSink sealing(sink, key, extraconfig::SealingSink::KeyEntry::leave_out);
    extraconfig::encode(config, sealing);
    for (const auto& [name, text] : stored) {
      if (!extraconfig::is_secret(name)) {
        ASSERT_EQ(text, plain.at(name));
        continue;
      }
      ++secrets;
      ASSERT_EQ(key.open(text), plain.at(name));
    }
    extraconfig::PairsSource source(stored);
    extraconfig::OpeningSource opening(source, key);
    ASSERT_EQ(extraconfig::decode_new<TypeParam>(opening), config) << "seed " << seed;
  }
  EXPECT_GT(secrets, 0u);
}

TYPED_TEST(ConfigProperties, JsonIsUndoneToo) {
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    const auto config = RandomValue(seed).make<TypeParam>();
    const std::string text = describe::to_json(config);
    TypeParam again;
    describe::from_json(text, again, describe::UnknownMembers::refuse);
    ASSERT_EQ(again, config) << text;
    ASSERT_EQ(describe::to_json(again), text);
  }
}

TEST(UrlCredentials, AreSealed) {
  MountSpec mount;
  mount.source.host = "nas";
  mount.source.user = UserInfo{"ann", "open sesame"};
  const Pairs pairs = extraconfig::encode(std::map<std::string, MountSpec>{{"data", mount}});
  std::vector<std::string> secret;
  for (const auto& pair : pairs) {
    if (extraconfig::is_secret(pair.first)) secret.push_back(pair.first);
  }
  EXPECT_EQ(secret, (std::vector<std::string>{"guestinfo.vice./|data/source/User/Password@secret",
                                              "guestinfo.vice./|data/source/User/Username@secret"}));
}

}  // namespace
}  // namespace berth::config
