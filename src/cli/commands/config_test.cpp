#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.hpp"
#include "base/io.hpp"
#include "cli/command.hpp"
#include "cli/pairs_text.hpp"
#include "record/store.hpp"

namespace berth::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Outcome {
  int status;
  std::string out;
  std::string err;
};

class ConfigCommand : public testing::Test {
 protected:
  Outcome run(Arguments arguments) {
    arguments.insert(arguments.begin(),
                     {"--root", folder.path() / "data", "--runtime", folder.path() / "run", "config"});
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int status = run_berth(arguments);
    std::fflush(stdout);
    return {status, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
  }
  std::string run_ok(const Arguments& arguments) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return outcome.out;
  }
  std::string file(const std::string& name, std::string_view content) {
    write_file_atomically(folder.path() / name, content);
    return folder.path() / name;
  }
  std::string make_record() {
    record::Pod pod;
    pod.executor.common.id = std::string(64, 'a');
    pod.executor.common.name = "web";
    pod.executor.sessions[pod.id()].cmd.path = "/bin/sh";
    pod.host.image_reference = "debian:12";
    make_directories(folder.path() / "data");
    record::Store(folder.path() / "data/records.db").create(pod);
    return pod.id();
  }

  TempDir folder{std::filesystem::temp_directory_path(), "berth-config-"};
};

constexpr std::string_view kMachine =
    R"({"hostname": "web", "sessions": {"a.b": {"cmd": {"args": ["sh", "a|b"]}}},
  "annotations": {"note": "two\nlines"}})";

TEST_F(ConfigCommand, EncodesAndDecodes) {
  const std::string pairs = run_ok({"encode", file("machine", kMachine)});
  EXPECT_THAT(pairs, HasSubstr("\"guestinfo.vice./hostname\": \"web\""));
  EXPECT_THAT(pairs, HasSubstr("\"annotations|note\": \"two\\nlines\""));
  const std::string document = run_ok({"decode", file("pairs", pairs)});
  EXPECT_THAT(document, HasSubstr("\"hostname\": \"web\""));
  EXPECT_EQ(run_ok({"encode", file("again", document)}), pairs);
}

TEST_F(ConfigCommand, KnowsTypesPrefixesAndScopes) {
  const std::string machine = file("machine", kMachine);
  const std::string below = run_ok({"encode", "--prefix", "guestinfo.vice./x", "--scope", "guest", machine});
  for (const auto& pair : pairs_from_text(below)) {
    EXPECT_TRUE(pair.first.starts_with("guestinfo.vice./x") || pair.first.starts_with("guestinfo.vice..x"))
        << pair.first;
  }
  EXPECT_THAT(run_ok({"decode", "--prefix", "guestinfo.vice./x", file("below", below)}),
              AllOf(HasSubstr("\"hostname\": \"web\""), HasSubstr("\"annotations\": {}")));
  EXPECT_THAT(run_ok({"encode", "--type", "appliance", "--secrets", "omit",
                      file("appliance", R"({"connection": {"target": "vc"}})")}),
              AllOf(HasSubstr("\"guestinfo.vice./connect/target\": \"vc\""), Not(HasSubstr("token"))));
}

TEST_F(ConfigCommand, SealsAndOpensSecrets) {
  const std::string key = folder.path() / "key";
  run_ok({"generate-key", key});
  const std::string document = file("appliance", R"({"connection": {"token": "open sesame"}})");
  const Outcome refused = run({"encode", "--type", "appliance", document});
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, AllOf(HasSubstr("guestinfo.vice./connect/token@secret"), HasSubstr("--key-file"),
                                 Not(HasSubstr("sesame"))));

  const std::string sealed =
      file("sealed", run_ok({"encode", "--type", "appliance", "--key-file", key, document}));
  EXPECT_THAT(read_file(sealed), Not(HasSubstr("sesame")));
  EXPECT_THAT(run_ok({"decode", "--type", "appliance", "--key-file", key, sealed}),
              HasSubstr("\"token\": \"open sesame\""));

  const std::string other = folder.path() / "other";
  run_ok({"generate-key", other});
  const Outcome damaged = run({"decode", "--type", "appliance", "--key-file", other, sealed});
  EXPECT_EQ(damaged.status, 1);
  EXPECT_EQ(damaged.out, "");
  EXPECT_THAT(damaged.err, HasSubstr("guestinfo.vice./connect/token@secret"));
}

TEST_F(ConfigCommand, ListsKeys) {
  EXPECT_EQ(run_ok({"keys", "Sessions.web.ExitStatus"}), "guestinfo.vice..sessions|web.status\n");
  EXPECT_EQ(run_ok({"keys", "Annotations[*]", file("machine", kMachine)}), "annotations|note\n");
  EXPECT_EQ(run_ok({"keys", "--type", "appliance", "Connection.Token"}),
            "guestinfo.vice./connect/token@secret\n");
  EXPECT_EQ(run({"keys", "Sessions.web.Nothing"}).status, 1);
}

TEST_F(ConfigCommand, DifferencesHaveTheirExitStatus) {
  const std::string a = file("a", R"({"x": "1", "y": "2"})");
  const std::string b = file("b", R"({"x": "1", "y": "3"})");
  EXPECT_EQ(run_ok({"diff", a, a}), "");
  const Outcome different = run({"diff", a, b});
  EXPECT_EQ(different.status, 1);
  EXPECT_EQ(different.out, "- \"y\": \"2\"\n+ \"y\": \"3\"\n");
  EXPECT_EQ(run({"diff", a, folder.path() / "nothing"}).status, 2);
  EXPECT_EQ(run({"diff", a}).status, 2);
  const Outcome documents = run({"diff", "--json", file("c", "{}"), file("d", R"({"hostname": "x"})")});
  EXPECT_EQ(documents.status, 1);
  EXPECT_EQ(documents.out, "- \"guestinfo.vice./hostname\": \"\"\n+ \"guestinfo.vice./hostname\": \"x\"\n");
}

TEST_F(ConfigCommand, LooksIntoARecord) {
  const std::string id = make_record();
  const auto record = pairs_from_text(run_ok({"encode", "--container", "web"}));
  EXPECT_EQ(record.at("guestinfo.vice./sessions|" + id + "/cmd/Path"), "/bin/sh");
  EXPECT_EQ(record.at("host/imagereference"), "debian:12");
  const auto guest = pairs_from_text(run_ok({"encode", "--container", "web", "--scope", "guest"}));
  EXPECT_FALSE(guest.contains("host/imagereference"));
  EXPECT_THAT(run_ok({"decode", "--container", "web"}),
              AllOf(HasSubstr("\"name\": \"web\""), HasSubstr("\"/bin/sh\"")));
  EXPECT_THAT(run_ok({"decode", "--container", "aaaa", "--scope", "guest"}),
              AllOf(HasSubstr("\"name\": \"\""), HasSubstr("\"/bin/sh\"")));
  EXPECT_THAT(run_ok({"decode", "--container", "web", "--type", "host"}),
              HasSubstr("\"image_reference\": \"debian:12\""));
  EXPECT_EQ(run_ok({"keys", "--container", "web", "Sessions[*].Started"}),
            "guestinfo.vice..sessions|" + id + ".started\n");
  EXPECT_EQ(run({"decode", "--container", "nothing"}).status, 1);
}

TEST_F(ConfigCommand, TellsWhatIsNotRead) {
  const Outcome outcome =
      run({"decode", file("pairs", R"({"guestinfo.vice./hostname": "x", "guestinfo.vice./hostnam": "y"})")});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.err, HasSubstr("1 of the pairs, beginning with \"guestinfo.vice./hostnam\""));
  EXPECT_EQ(run({"decode", file("none", R"({"a": "b"})")}).status, 1);
}

TEST_F(ConfigCommand, SaysWhereADocumentIsWrong) {
  const std::string document = file("machine", R"({"sessions": {"a": {"cmd": {"args": [1]}}}})");
  const Outcome outcome = run({"encode", document});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("sessions[\"a\"].cmd.args[0]: expected a text"), HasSubstr(document)));
  EXPECT_THAT(run({"encode", file("typo", R"({"hostnam": ""})")}).err,
              HasSubstr("hostnam: there is no such member"));
  EXPECT_THAT(run({"decode", file("status", R"({"guestinfo.vice..createtime": "12x"})")}).err,
              HasSubstr("guestinfo.vice..createtime"));
}

TEST_F(ConfigCommand, NamesItsCommands) {
  for (const std::string command : {"encode", "decode", "keys", "diff", "generate-key"}) {
    EXPECT_THAT(run_ok({"--help"}), HasSubstr(command));
    EXPECT_THAT(run_ok({command, "--help"}), HasSubstr("Example:\n  berth config " + command));
  }
  EXPECT_EQ(run({"encod"}).status, 1);
  EXPECT_EQ(run({}).status, 1);
}

}  // namespace
}  // namespace berth::cli
