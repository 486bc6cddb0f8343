#include "tether/files/archive_service.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "tar/stream.hpp"

namespace berth::tether {

namespace archive = link::archive;

/// One child and the channel it works for.
struct ArchiveService::Copy : std::enable_shared_from_this<Copy> {
  Copy(const asio::any_io_executor& on, std::shared_ptr<link::ssh::Channel> over, UniqueFd data_end,
       UniqueFd answer_end, pid_t child)
      : executor(on),
        channel(std::move(over)),
        data(on, std::move(data_end)),
        answer(on, std::move(answer_end)),
        pid(child),
        pidfd(
            on,
            UniqueFd(static_cast<int>(check(::syscall(SYS_pidfd_open, child, 0), "watch a copy's process")))),
        changed(on) {}

  static std::shared_ptr<Copy> begin(const asio::any_io_executor& executor,
                                     std::shared_ptr<link::ssh::Channel> channel, const archive::Order& order,
                                     const CopyPlace& place);
  /// Ends the child; whoever serves the copy reaps it.
  void kill() { ::kill(pid, SIGKILL); }
  Task<> read_answer();
  Task<> reap();
  Task<> send_data();
  Task<> receive_data();
  Task<> watch_channel();

  asio::any_io_executor executor;
  std::shared_ptr<link::ssh::Channel> channel;
  Stream data;
  Stream answer;
  pid_t pid;
  Stream pidfd;
  Event changed;
  std::string text;  ///< the answer
  bool sent = false;
  bool ended = false;
};

struct ArchiveService::State {
  State(const asio::any_io_executor& on, FindPlace find)
      : executor(on), find_place(std::move(find)), changed(on) {}

  Task<> run(std::shared_ptr<Copy> copy, archive::Verb verb);

  asio::any_io_executor executor;
  FindPlace find_place;
  std::set<std::shared_ptr<Copy>> copies;
  Event changed;
};

namespace {

Task<> report(link::ssh::Channel& channel, std::string text, bool failed) {
  co_await channel.write_all(text, true);
  link::ssh::Exit exit;
  exit.code = failed ? 1 : 0;
  co_await channel.send_exit(exit);
}

}  // namespace

std::shared_ptr<ArchiveService::Copy> ArchiveService::Copy::begin(const asio::any_io_executor& executor,
                                                                  std::shared_ptr<link::ssh::Channel> channel,
                                                                  const archive::Order& order,
                                                                  const CopyPlace& place) {
  auto [data_read, data_write] = make_pipe();
  auto [answer_read, answer_write] = make_pipe();
  const bool writes = order.verb == archive::Verb::write;
  UniqueFd& of_child = writes ? data_read : data_write;
  const pid_t pid = check(::fork(), "start a copy");
  if (pid == 0) run_copy_child(order, place, {of_child.get(), answer_write.get()});
  return std::make_shared<Copy>(executor, std::move(channel), std::move(writes ? data_write : data_read),
                                std::move(answer_read), pid);
}

Task<> ArchiveService::Copy::read_answer() {
  std::array<char, 4096> buffer;
  while (text.size() < archive::kAnswerLimit) {
    const std::size_t n = co_await answer.read_some(buffer.data(), buffer.size());
    if (n == 0) break;
    text.append(buffer.data(), n);
  }
}

Task<> ArchiveService::Copy::reap() {
  siginfo_t info{};
  while (true) {
    const int result = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG);
    if (result != 0 || info.si_pid != 0) co_return;
    co_await pidfd.wait_readable();
  }
}

Task<> ArchiveService::Copy::send_data() {
  const auto self = shared_from_this();
  std::string buffer(tar::kPieceSize, '\0');
  try {
    while (const std::size_t n = co_await data.read_some(buffer.data(), buffer.size()))
      co_await channel->write_all({buffer.data(), n});
  } catch (const Error&) {
    // The client has gone.
    if (!ended) kill();
  }
  sent = true;
  changed.notify_all();
}

Task<> ArchiveService::Copy::receive_data() {
  const auto self = shared_from_this();
  std::string buffer(tar::kPieceSize, '\0');
  try {
    while (const std::size_t n = co_await channel->read_some(buffer.data(), buffer.size()))
      co_await data.write_all({buffer.data(), n});
  } catch (const Error&) {
    // The child ended before it had everything, or the client has gone.
  }
  data.close();
}

Task<> ArchiveService::Copy::watch_channel() {
  const auto self = shared_from_this();
  try {
    while (!ended && !channel->closed()) co_await channel->wait_change();
  } catch (const Error&) {
    // The connection broke.
  }
  if (!ended) kill();
}

Task<> ArchiveService::State::run(std::shared_ptr<Copy> copy, archive::Verb verb) {
  const bool writes = verb == archive::Verb::write;
  if (writes) {
    spawn_detached(executor, "copy", copy->receive_data());
  } else {
    spawn_detached(executor, "copy", copy->send_data());
  }
  spawn_detached(executor, "copy", copy->watch_channel());
  co_await copy->read_answer();
  co_await copy->reap();
  copy->ended = true;
  copies.erase(copy);
  changed.notify_all();
  while (!writes && !copy->sent) co_await copy->changed.wait();
  if (copy->channel->closed()) co_return;
  const bool complete = copy->text.starts_with("0\n") || copy->text.starts_with("1\n");
  if (complete) {
    co_await report(*copy->channel, copy->text.substr(2), copy->text.front() == '1');
  } else {
    std::string killed =
        fmt::format("{}\nthe copy was killed in the container's machine: is its memory used up?",
                    to_string(Code::capacity));
    co_await report(*copy->channel, std::move(killed), true);
  }
}

ArchiveService::ArchiveService(const asio::any_io_executor& executor, FindPlace find_place)
    : state_(std::make_shared<State>(executor, std::move(find_place))) {}

Task<> ArchiveService::serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request) {
  const auto state = state_;
  std::shared_ptr<Copy> copy;
  std::string refusal;
  archive::Order order;
  try {
    order = archive::parse_request(request);
    const CopyPlace place = state->find_place(order.container);
    copy = Copy::begin(state->executor, channel, order, place);
    state->copies.insert(copy);
  } catch (const Error& error) {
    refusal = fmt::format("{}\n{}", to_string(error.code()), error.what());
  }
  if (copy) {
    co_await state->run(std::move(copy), order.verb);
  } else {
    co_await report(*channel, std::move(refusal), true);
  }
}

Task<> ArchiveService::end_all(Milliseconds limit) {
  const auto state = state_;
  for (const auto& copy : state->copies) copy->kill();
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!state->copies.empty()) {
    if (!co_await state->changed.wait_until(deadline)) {
      log::warning("copies that do not end");
      break;
    }
  }
}

}  // namespace berth::tether
