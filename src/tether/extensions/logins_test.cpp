#include "tether/extensions/logins.hpp"

#include <gmock/gmock.h>

namespace berth::tether {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

config::SessionConfig container() {
  config::SessionConfig session;
  session.common.id = "main";
  session.cmd.env = {"PATH=/bin", "COLOR=blue"};
  session.cmd.dir = "/srv";
  session.user = "app";
  session.group = "staff";
  session.no_new_privileges = true;
  session.capabilities = std::vector<std::string>{"CAP_CHOWN"};
  return session;
}

TEST(LoginSession, IsAnExecOfTheContainerAsTheUser) {
  link::ssh::Request request;
  request.user = "alice";
  const config::SessionConfig session = login_session(container(), request);
  EXPECT_EQ(session.container, "main");
  EXPECT_EQ(session.user, "alice");
  EXPECT_EQ(session.group, "");
  EXPECT_EQ(session.cmd.dir, "");
  EXPECT_TRUE(session.no_new_privileges);
  EXPECT_THAT(session.capabilities.value(), ElementsAre("CAP_CHOWN"));
  EXPECT_THAT(session.cmd.env, Contains("COLOR=blue"));
  EXPECT_THAT(session.cmd.env, Contains("USER=alice"));
  EXPECT_FALSE(session.tty);
}

TEST(LoginSession, TakesOnlyTheLanguageFromTheClient) {
  link::ssh::Request request;
  request.user = "alice";
  request.environment = {{"LANG", "de_DE"}, {"LC_TIME", "C"}, {"LD_PRELOAD", "/tmp/x"}, {"PATH", "/tmp"}};
  const config::SessionConfig session = login_session(container(), request);
  EXPECT_THAT(session.cmd.env, Contains("LANG=de_DE"));
  EXPECT_THAT(session.cmd.env, Contains("LC_TIME=C"));
  EXPECT_THAT(session.cmd.env, Not(Contains("LD_PRELOAD=/tmp/x")));
  EXPECT_THAT(session.cmd.env, Not(Contains("PATH=/tmp")));
}

TEST(LoginSession, HasTheClientsTerminal) {
  link::ssh::Request request;
  request.terminal = link::ssh::Terminal{"vt100", 100, 40};
  const config::SessionConfig session = login_session(container(), request);
  EXPECT_TRUE(session.tty);
  EXPECT_EQ(session.window_columns, 100);
  EXPECT_EQ(session.window_rows, 40);
  EXPECT_THAT(session.cmd.env, Contains("TERM=vt100"));
}

}  // namespace
}  // namespace berth::tether
