#include "cli/ssh_options.hpp"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

TEST(SshOptions, QuotesValuesOfTheConfiguration) {
  EXPECT_EQ(quote_ssh_value("/run/berth/a b/100%"), "\"/run/berth/a b/100%%\"");
  EXPECT_THROW(quote_ssh_value("a\"b"), Error);
  EXPECT_THROW(quote_ssh_value("a\\b"), Error);
  EXPECT_THROW(quote_ssh_value("a\nProxyCommand x"), Error);
}

TEST(SshOptions, QuotesWordsForAShell) {
  EXPECT_EQ(quote_shell_word("it's $HOME"), "'it'\\''s $HOME'");
  EXPECT_EQ(quote_shell_word(""), "''");
}

}  // namespace
}  // namespace berth::cli
