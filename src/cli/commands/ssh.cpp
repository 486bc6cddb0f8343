#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/io.hpp"
#include "base/relay.hpp"
#include "cli/command.hpp"
#include "cli/ssh_options.hpp"

namespace berth::cli::command {
namespace {

[[noreturn]] void become(std::vector<std::string> words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execvp(pointers.front(), pointers.data());
  if (errno == ENOENT)
    throw Error(Code::not_found, "there is no ssh program; install the package openssh-client");
  throw errno_error("start ssh");
}

Task<> carry(engine::Attachment attachment, asio::any_io_executor executor) {
  Stream connection(executor, std::move(attachment.stream));
  Stream input(executor, duplicate(STDIN_FILENO));
  Stream output(executor, duplicate(STDOUT_FILENO));
  co_await output.write_all(attachment.early);
  spawn_detached(executor, "input", [](Stream& from, Stream& to) -> Task<> {
    co_await copy_stream(from, to);
    ::shutdown(to.fd(), SHUT_WR);
  }(input, connection));
  co_await copy_stream(connection, output);
}

}  // namespace

int ssh(Context& context, const Arguments& arguments) {
  std::string user;
  bool terminal = false;
  std::vector<std::string> forwards;
  std::vector<std::string> words;
  Parser parser("berth ssh", "[OPTIONS] CONTAINER [COMMAND [ARG...]]",
                "Logs in to a running container with OpenSSH's client.");
  parser.value("-l,--login", "USER", user, "User of the container (default: the container's own)")
      .flag("-t,--tty", terminal, "Give a command a terminal")
      .list("-L,--forward", "[ADDRESS:]PORT:HOST:PORT", forwards, "Forward a local port, as ssh does")
      .positionals(words, 1)
      .flags_end_at_positional()
      .example("berth ssh web uname -a");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  const record::Pod pod = context.engine().get(words.front());
  std::vector<std::string> command{"ssh", "-F", "none"};
  for (const auto& [keyword, value] : ssh_options(context, pod, user)) {
    command.insert(command.end(), {"-o", keyword + " " + value});
  }
  if (terminal) command.emplace_back("-t");
  for (const std::string& forward : forwards) command.insert(command.end(), {"-L", forward});
  command.insert(command.end(), {"--", pod.name()});
  command.insert(command.end(), std::make_move_iterator(words.begin() + 1),
                 std::make_move_iterator(words.end()));
  become(std::move(command));
}

int ssh_config(Context& context, const Arguments& arguments) {
  std::vector<std::string> names;
  Parser parser("berth ssh-config", "[CONTAINER...]",
                "Shows lines for ~/.ssh/config by which ssh, scp, sftp and others reach running containers.");
  parser.positionals(names, 0).example("berth ssh-config web >> ~/.ssh/config && scp -r site web.berth:/srv");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  std::vector<record::Pod> pods;
  for (const std::string& name : names) pods.push_back(context.engine().get(name));
  if (names.empty()) {
    for (record::Pod& pod : context.engine().list()) {
      if (engine::is_running(pod)) pods.push_back(std::move(pod));
    }
  }
  for (const record::Pod& pod : pods) {
    print_line("Host " + pod.name() + ".berth");
    for (const auto& [keyword, value] : ssh_options(context, pod)) print_line("  " + keyword + " " + value);
  }
  return 0;
}

int ssh_proxy(Context& context, const Arguments& arguments) {
  std::vector<std::string> names;
  Parser parser(
      "berth ssh-proxy", "CONTAINER",
      "Carries the connection of an SSH client to a running container on standard input and output.");
  parser.positionals(names, 1, 1).example("ssh -o 'ProxyCommand berth ssh-proxy web' root@web");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  asio::io_context loop;
  std::exception_ptr failure;
  asio::co_spawn(loop, carry(context.engine().connect_login(names.front()), loop.get_executor()),
                 [&](std::exception_ptr thrown) {
                   failure = thrown;
                   loop.stop();
                 });
  loop.run();
  if (failure) std::rethrow_exception(failure);
  return 0;
}

}  // namespace berth::cli::command
