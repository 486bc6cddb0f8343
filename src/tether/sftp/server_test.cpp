#include "tether/sftp/server.hpp"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "tether/sftp/attributes.hpp"

namespace berth::tether::sftp {
namespace {

using link::wire::Reader;
using link::wire::Writer;

class SftpServerTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  static Writer request(Type type) {
    Writer writer;
    writer.u8(static_cast<std::uint8_t>(type));
    writer.u32(7);
    return writer;
  }

  /// What follows the answer's type and id, which are checked.
  std::string ask(Writer request, Type expected) {
    const std::string answer = server_.answer(std::move(request).take());
    Reader reader(answer, "answer");
    EXPECT_EQ(Type{reader.u8()}, expected);
    EXPECT_EQ(reader.u32(), 7u);
    return answer.substr(5);
  }

  Status status_of(Writer request) {
    const std::string answer = ask(std::move(request), Type::status);
    return Status{Reader(answer, "status").u32()};
  }

  std::string open(const std::string& name, std::uint32_t flags) {
    Writer writer = request(Type::open);
    writer.text(path(name));
    writer.u32(flags);
    writer.u32(0);
    const std::string answer = ask(std::move(writer), Type::handle);
    return Reader(answer, "handle").text();
  }

  Writer about(Type type, const std::string& text) const {
    Writer writer = request(type);
    writer.text(text);
    return writer;
  }

  Writer reading(const std::string& handle, std::uint64_t offset, std::uint32_t size) const {
    Writer writer = about(Type::read, handle);
    writer.u64(offset);
    writer.u32(size);
    return writer;
  }

  TempDir folder_{std::filesystem::temp_directory_path(), "berth-sftp-"};
  Server server_;
};

TEST_F(SftpServerTest, GreetsWithVersionThreeAndItsExtensions) {
  Writer init;
  init.u8(static_cast<std::uint8_t>(Type::init));
  init.u32(6);
  const std::string answer = server_.answer(std::move(init).take());
  Reader reader(answer, "version");
  EXPECT_EQ(Type{reader.u8()}, Type::version);
  EXPECT_EQ(reader.u32(), 3u);
  EXPECT_EQ(reader.text(), "posix-rename@openssh.com");
}

TEST_F(SftpServerTest, WritesAndReadsAtPlaces) {
  const std::string handle = open("file", open_flag::read | open_flag::write | open_flag::create);
  Writer write = about(Type::write, handle);
  write.u64(3);
  write.text("abc");
  EXPECT_EQ(status_of(std::move(write)), Status::ok);
  const std::string data = ask(reading(handle, 2, 100), Type::data);
  EXPECT_EQ(Reader(data, "data").text(), std::string("\0abc", 4));
  EXPECT_EQ(status_of(reading(handle, 6, 100)), Status::end_of_file);
  EXPECT_EQ(status_of(about(Type::close, handle)), Status::ok);
  EXPECT_EQ(status_of(about(Type::close, handle)), Status::failure);
  EXPECT_EQ(status_of(reading(handle, 0, 1)), Status::failure);
}

TEST_F(SftpServerTest, ReadsADirectoryToItsEnd) {
  for (int i = 0; i < 250; ++i) write_file_atomically(path("f" + std::to_string(i)), "");
  const std::string answer = ask(about(Type::opendir, folder_.path()), Type::handle);
  const std::string handle = Reader(answer, "handle").text();
  std::size_t names = 0;
  for (int turn = 0; turn < 4; ++turn) {
    const std::string packet = std::move(about(Type::readdir, handle)).take();
    const std::string reply = server_.answer(packet);
    Reader reader(reply, "names");
    if (Type{reader.u8()} != Type::name) break;
    reader.u32();
    for (std::uint32_t count = reader.u32(); count > 0; --count) {
      const std::string name = reader.text();
      EXPECT_THAT(reader.text(), testing::EndsWith(name));
      EXPECT_TRUE(read_attributes(reader).permissions);
      ++names;
    }
    reader.expect_end();
  }
  EXPECT_EQ(names, 252u);  // "." and ".." too
  EXPECT_EQ(status_of(about(Type::readdir, handle)), Status::end_of_file);
}

TEST_F(SftpServerTest, SaysWhatIsMissingAndWhatIsForbidden) {
  EXPECT_EQ(status_of(about(Type::stat, path("missing"))), Status::no_such_file);
  EXPECT_EQ(status_of(about(Type::remove, path("missing"))), Status::no_such_file);
  EXPECT_EQ(status_of(about(Type::rmdir, "/proc/self/ns")), Status::permission_denied);
  EXPECT_EQ(status_of(about(Type::readdir, "no handle")), Status::failure);
  EXPECT_EQ(status_of(about(Type::extended, "unknown@nowhere")), Status::unsupported);
  EXPECT_EQ(status_of(request(Type{99})), Status::unsupported);
}

TEST_F(SftpServerTest, RenamesWithoutReplacingUnlessAskedTo) {
  write_file_atomically(path("a"), "a");
  write_file_atomically(path("b"), "b");
  Writer rename = about(Type::rename, path("a"));
  rename.text(path("b"));
  EXPECT_EQ(status_of(std::move(rename)), Status::failure);
  EXPECT_EQ(read_file(path("b")), "b");
  Writer replace = about(Type::extended, "posix-rename@openssh.com");
  replace.text(path("a"));
  replace.text(path("b"));
  EXPECT_EQ(status_of(std::move(replace)), Status::ok);
  EXPECT_EQ(read_file(path("b")), "a");
}

TEST_F(SftpServerTest, SetsAttributes) {
  write_file_atomically(path("file"), "12345");
  Attributes wanted;
  wanted.size = 3;
  wanted.permissions = 0640;
  wanted.times.emplace(1000, 2000);
  Writer set = about(Type::setstat, path("file"));
  write_attributes(wanted, set);
  EXPECT_EQ(status_of(std::move(set)), Status::ok);
  const std::string answer = ask(about(Type::stat, path("file")), Type::attributes);
  Reader reader(answer, "attributes");
  const Attributes seen = read_attributes(reader);
  EXPECT_EQ(seen.size, 3u);
  EXPECT_EQ(*seen.permissions & 07777, 0640u);
  EXPECT_EQ(seen.times->second, 2000u);
}

TEST_F(SftpServerTest, MakesLinksInOpensshsOrder) {
  Writer link = about(Type::symlink, "target");
  link.text(path("link"));
  EXPECT_EQ(status_of(std::move(link)), Status::ok);
  EXPECT_EQ(std::filesystem::read_symlink(path("link")), "target");
}

TEST_F(SftpServerTest, ResolvesPathsThatAreThereOrNearlySo) {
  const auto resolve = [&](const std::string& what) {
    const std::string answer = ask(about(Type::realpath, what), Type::name);
    Reader reader(answer, "name");
    EXPECT_EQ(reader.u32(), 1u);
    return reader.text();
  };
  EXPECT_EQ(resolve("/proc/../proc"), "/proc");
  EXPECT_EQ(resolve("/no-such-thing"), "/no-such-thing");
  EXPECT_EQ(resolve(""), std::filesystem::current_path());
  EXPECT_EQ(status_of(about(Type::realpath, "/missing/thing")), Status::no_such_file);
}

TEST_F(SftpServerTest, HasALimitOfHandles) {
  write_file_atomically(path("file"), "");
  for (std::size_t i = 0; i < kHandleLimit; ++i) open("file", open_flag::read);
  Writer one_more = about(Type::open, path("file"));
  one_more.u32(open_flag::read);
  one_more.u32(0);
  EXPECT_EQ(status_of(std::move(one_more)), Status::failure);
}

TEST_F(SftpServerTest, RefusesWhatIsNoPacket) {
  EXPECT_THROW(server_.answer(""), Error);
  EXPECT_THROW(server_.answer(std::string("\x03\0\0\0\1\0\0\0\x50xx", 11)), Error);
  EXPECT_THROW(status_of(about(Type::remove, std::string("a\0b", 3))), Error);
}

TEST(SftpServe, EndsWithItsInputAndWithRubbish) {
  const auto status_for = [](std::string_view input) {
    auto [near_end, far_end] = make_socket_pair();
    write_all(near_end.get(), input);
    ::shutdown(near_end.get(), SHUT_WR);
    return serve(far_end.get(), far_end.get());
  };
  EXPECT_EQ(status_for(""), 0);
  EXPECT_EQ(status_for(std::string("\0\0\0\5\1\0\0\0\3", 9)), 0);
  EXPECT_EQ(status_for("GET / HTTP/1.1"), 1);
  EXPECT_EQ(status_for(std::string("\0\0\0\0", 4)), 1);
}

}  // namespace
}  // namespace berth::tether::sftp
