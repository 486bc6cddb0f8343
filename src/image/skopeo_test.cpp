#include "image/skopeo.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "image/test_images.hpp"

namespace berth::image {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

TEST(Loopback, IsKnownByItsName) {
  for (const std::string registry :
       {"localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:5000"})
    EXPECT_TRUE(is_loopback(registry)) << registry;
  for (const std::string registry : {"docker.io", "localhost.example.org", "127.0.0.1.example.org",
                                     "128.0.0.1", "127.x.0.1", "[::2]", "[::11]"})
    EXPECT_FALSE(is_loopback(registry)) << registry;
}

TEST(SkopeoError, SaysWhatToDo) {
  struct Case {
    std::string text;
    Code code;
    std::string says;
  };
  const std::vector<Case> cases{
      {"reading manifest 2 in r/o: manifest unknown: manifest unknown", Code::not_found,
       "check the name and tag"},
      {"reading manifest x: unauthorized: authentication required", Code::not_found, "skopeo login r.io"},
      {"requested access to the resource is denied", Code::not_found, "skopeo login r.io"},
      {"unable to retrieve auth token: invalid username/password: unauthorized", Code::invalid_argument,
       "refused"},
      {"dial tcp 127.0.0.1:1: connect: connection refused", Code::unavailable, "cannot be reached"},
      {"dial tcp: lookup r.io on 1.1.1.1:53: no such host", Code::unavailable, "cannot be reached"},
      {"http: server gave HTTP response to HTTPS client", Code::unavailable, "--insecure"},
      {"x509: certificate signed by unknown authority", Code::unavailable, "not trusted"},
      {"Digest did not match, expected sha256:1, got sha256:2", Code::corrupt, "damaged"},
      {"write /x: no space left on device", Code::capacity, "make room"},
      {"toomanyrequests: You have reached your pull rate limit", Code::unavailable, "try again later"},
      {"something else", Code::unavailable, "something else"},
  };
  for (const Case& one : cases) {
    const Error error =
        skopeo_error("time=\"x\" level=warning msg=\"w\"\ntime=\"x\" level=fatal msg=\"Error: \\\"a\\\" " +
                         one.text + "\"\n",
                     "r.io/a:1", "r.io");
    EXPECT_EQ(error.code(), one.code) << one.text;
    EXPECT_THAT(error.message(), HasSubstr(one.says));
    EXPECT_THAT(error.message(), HasSubstr("cannot pull r.io/a:1: "));
    EXPECT_THAT(error.message(), Not(HasSubstr("\n")));
  }
}

TEST(Skopeo, PutsSecretsOnlyIntoAPrivateFile) {
  if (!find_program("skopeo")) GTEST_SKIP() << "skopeo is not installed";
  const TempDir scratch(testing::TempDir(), "skopeo-");
  PullOptions options;
  options.username = "me";
  options.password = "open sesame";
  const Skopeo skopeo(parse_source("localhost:5000/a"), options, scratch.path());
  struct stat status {};
  ASSERT_EQ(::stat((scratch.path() / "auth.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(read_file(scratch.path() / "auth.json"),
            "{\"auths\":{\"localhost:5000\":{\"auth\":\"bWU6b3BlbiBzZXNhbWU=\"}}}\n");
  EXPECT_THAT(skopeo.spec({"inspect"}).arguments, Not(Contains(HasSubstr("sesame"))));
}

}  // namespace
}  // namespace berth::image
