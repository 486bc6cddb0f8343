#include "tether/fork_server.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "base/counted.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace berth::tether {
namespace {

constexpr std::string_view kVerb = "fork ";
constexpr std::int64_t kMostAtOnce = 1000;
constexpr std::size_t kRequestLimit = 64;
/// A thousand ids of 64 digits.
constexpr std::size_t kAnswerLimit = 128u << 10;
constexpr std::size_t kClientsAtOnce = 16;
constexpr Milliseconds kRequestTime{30'000};
constexpr Milliseconds kWriteTime{5'000};
/// For the host to make the copies.
constexpr Milliseconds kAnswerTime{600'000};

std::string error_line(const Error& error) {
  return fmt::format("error {} {}", to_string(error.code()), printable(error.message()));
}

Task<> read_line(Stream& stream, std::string& line) {
  char byte = 0;
  while (co_await stream.read_some(&byte, 1) != 0 && byte != '\n') {
    if (line.size() >= kRequestLimit) throw Error(Code::invalid_argument, "the request is too long");
    line += byte;
  }
  if (byte != '\n') throw Error(Code::unavailable, "the connection ended within a request");
}

}  // namespace

std::int64_t parse_fork_request(std::string_view line) {
  if (!line.starts_with(kVerb)) throw Error(Code::invalid_argument, "the request is not \"fork N\"");
  return parse_integer(line.substr(kVerb.size()), 1, kMostAtOnce, "number of copies");
}

ForkServer::ForkServer(const asio::any_io_executor& executor, OnChange on_change)
    : executor_(executor), on_change_(std::move(on_change)), answered_(executor) {}

void ForkServer::listen(const std::string& path) {
  UniqueFd socket(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "make a socket"));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw Error(Code::internal, "{} is too long a path", path);
  std::memcpy(address.sun_path, path.data(), path.size());
  check(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind " + path);
  check(::chmod(path.c_str(), 0666), "let everybody use " + path);
  check(::listen(socket.get(), kClientsAtOnce), "listen at " + path);
  listening_ = true;
  spawn_detached(executor_, "fork server", [](std::shared_ptr<ForkServer> self, UniqueFd listener) -> Task<> {
    co_await self->accept(std::move(listener));
  }(shared_from_this(), std::move(socket)));
}

Task<> ForkServer::accept(UniqueFd socket) {
  constexpr Milliseconds kPauseAfterFailure{1'000};
  Stream listener(executor_, std::move(socket));
  while (true) {
    co_await listener.wait_readable();
    UniqueFd connection(::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
      log::warning("fork server: {}", std::strerror(errno));
      co_await sleep_for(kPauseAfterFailure);
    }
    // One that finds no room sees the end of the stream.
    if (!connection || clients_ >= kClientsAtOnce) continue;
    spawn_detached(executor_, "fork request",
                   [](std::shared_ptr<ForkServer> self, UniqueFd accepted) -> Task<> {
                     co_await self->serve(std::move(accepted));
                   }(shared_from_this(), std::move(connection)));
  }
}

Task<> ForkServer::serve(UniqueFd connection) {
  const Counted client(clients_);
  Stream stream(executor_, std::move(connection));
  std::string line;
  std::string reply;
  try {
    Task<> reading = read_line(stream, line);
    co_await with_deadline(kRequestTime, "to read the request", std::move(reading));
    reply = co_await reply_to(line);
  } catch (const Error& error) {
    reply = error_line(error);
  }
  reply += '\n';
  try {
    co_await with_deadline(kWriteTime, "to answer", stream.write_all(reply));
  } catch (const Error& error) {
    log::debug("who asked for a fork has gone: {}", error.what());
  }
}

Task<std::string> ForkServer::reply_to(std::string line) {
  const std::int64_t count = parse_fork_request(line);
  if (asking_) throw Error(Code::busy, "another fork is being made");
  if (count > limit_ - used_)
    throw Error(Code::capacity, "{} of at most {} copies were asked for already", used_, limit_);
  co_return co_await ask(count);
}

Task<std::string> ForkServer::ask(std::int64_t count) {
  asking_ = true;
  used_ += count;
  answer_.reset();
  on_change_(count);
  const auto deadline = std::chrono::steady_clock::now() + kAnswerTime;
  while (!answer_) {
    if (!co_await answered_.wait_until(deadline)) break;
  }
  asking_ = false;
  on_change_(0);
  std::string line = answer_.value_or(error_line(Error(Code::timeout, "the host does not answer")));
  if (line.starts_with("error ")) used_ = std::max<std::int64_t>(used_ - count, 0);
  co_return line;
}

void ForkServer::give_up() {
  if (asking_ && !answer_)
    answer(error_line(Error(Code::conflict, "this machine is a copy that somebody else asked for")));
}

void ForkServer::answer(std::string line) {
  if (line.empty() || line.size() > kAnswerLimit || printable(line, kAnswerLimit) != line)
    throw Error(Code::invalid_argument, "this cannot be the answer to a fork");
  if (!asking_ || answer_) throw Error(Code::wrong_state, "no process waits for a fork");
  answer_ = std::move(line);
  answered_.notify_all();
}

}  // namespace berth::tether
