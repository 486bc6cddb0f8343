#include "cli/config_secrets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::cli {
namespace {

using testing::HasSubstr;

const Pairs kPlain = {{"guestinfo.vice./token@secret", "open sesame"}, {"guestinfo.vice./user", "ann"}};
const Pairs kClear = {{"guestinfo.vice./user", "ann"}};

std::string message_of(const std::function<void()>& action, Code code) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.message();
    return error.message();
  }
  return "none";
}

TEST(ConfigSecrets, AreSealedAndOpened) {
  const SealingKey key = SealingKey::generate();
  const Pairs sealed = protect_secrets(kPlain, key, "");
  EXPECT_EQ(sealed.size(), 2u);
  EXPECT_NE(sealed.at("guestinfo.vice./token@secret"), "open sesame");
  EXPECT_EQ(open_secrets(sealed, key, ""), kPlain);
}

TEST(ConfigSecrets, WithoutAKeySomebodyHasToSayWhat) {
  for (const auto& treat : {protect_secrets, open_secrets}) {
    EXPECT_EQ(treat(kClear, std::nullopt, ""), kClear);
    EXPECT_EQ(treat(kPlain, std::nullopt, "plain"), kPlain);
    EXPECT_EQ(treat(kPlain, std::nullopt, "omit"), kClear);
    EXPECT_THAT(message_of([&] { treat(kPlain, std::nullopt, ""); }, Code::invalid_argument),
                testing::AllOf(HasSubstr("guestinfo.vice./token@secret"), HasSubstr("--key-file"),
                               testing::Not(HasSubstr("sesame"))));
    EXPECT_THAT(message_of([&] { treat(kPlain, std::nullopt, "show"); }, Code::invalid_argument),
                HasSubstr("omit or plain"));
    EXPECT_THAT(message_of([&] { treat(kPlain, SealingKey::generate(), "omit"); }, Code::invalid_argument),
                HasSubstr("exclude"));
  }
}

TEST(ConfigSecrets, NamesEveryKeyThatCannotBeOpened) {
  const SealingKey key = SealingKey::generate();
  Pairs sealed = protect_secrets(kPlain, key, "");
  sealed["a@secret"] = "rubbish";
  EXPECT_EQ(message_of([&] { open_secrets(sealed, key, ""); }, Code::corrupt),
            "sealed values are damaged or belong to another sealing key: \"a@secret\"");
  EXPECT_THAT(message_of([&] { open_secrets(sealed, SealingKey::generate(), ""); }, Code::corrupt),
              HasSubstr("\"a@secret\", \"guestinfo.vice./token@secret\""));
}

TEST(ConfigSecrets, TheStoredKeyIsFound) {
  const SealingKey key = SealingKey::generate();
  Pairs sealed = protect_secrets(kPlain, key, "");
  EXPECT_FALSE(stored_key(sealed).has_value());
  sealed[std::string(extraconfig::kSealingKeyName)] = key.to_string();
  ASSERT_TRUE(stored_key(sealed).has_value());
  EXPECT_EQ(open_secrets(sealed, stored_key(sealed), "").at("guestinfo.vice./token@secret"), "open sesame");
  EXPECT_FALSE(open_secrets(sealed, std::nullopt, "omit").contains(extraconfig::kSealingKeyName));
}

TEST(ConfigSecrets, ANewKeyIsForItsOwnerAndReplacesNone) {
  const TempDir folder(std::filesystem::temp_directory_path(), "berth-key-");
  const std::string file = folder.path() / "key";
  write_new_key(file);
  struct stat status {};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const std::string text = read_file(file);
  EXPECT_EQ(SealingKey::parse(trim(text)).to_string() + "\n", text);
  EXPECT_THROW(write_new_key(file), Error);
  EXPECT_EQ(read_file(file), text);
}

}  // namespace
}  // namespace berth::cli
