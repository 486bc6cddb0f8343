#include "launcher/server.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <charconv>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>

#include "base/counted.hpp"
#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "launcher/http.hpp"
#include "link/splice.hpp"

namespace berth::launcher {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace json = boost::json;
using Socket = asio::local::stream_protocol::socket;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

constexpr std::size_t kBodyLimit = 1u << 20;
constexpr std::size_t kHeaderLimit = 16u << 10;
constexpr Milliseconds kRequestLimit{30'000};

Response answer(const Request& request, http::status status, std::string body) {
  Response response(status, request.version());
  response.set(http::field::content_type, "application/json");
  response.body() = std::move(body);
  response.keep_alive(false);
  response.prepare_payload();
  return response;
}

Response refuse(const Request& request, const Error& error) {
  return answer(request, static_cast<http::status>(http_status(error.code())), error_body(error));
}

/// Values of a query such as "?grace=10&slow=lose".
std::optional<std::string_view> query_text(std::string_view target, std::string_view name) {
  const std::string wanted = std::string(name) + "=";
  std::size_t at = target.find('?');
  while (at != std::string_view::npos) {
    const std::string_view rest = target.substr(at + 1);
    if (rest.starts_with(wanted)) return rest.substr(wanted.size(), rest.find('&') - wanted.size());
    at = target.find('&', at + 1);
  }
  return std::nullopt;
}

std::int64_t query_number(std::string_view target, std::string_view name, std::int64_t otherwise) {
  const std::optional<std::string_view> digits = query_text(target, name);
  if (!digits) return otherwise;
  std::int64_t value = 0;
  const char* const last = digits->data() + digits->size();
  const auto [end, failure] = std::from_chars(digits->data(), last, value);
  if (failure != std::errc{} || end != last) throw Error(Code::invalid_argument, "{} must be a number", name);
  return value;
}

std::int32_t query_side(std::string_view target, std::string_view name) {
  const std::int64_t side = query_number(target, name, 0);
  if (side < 0 || side > UINT16_MAX) throw Error(Code::invalid_argument, "no window has {} {}", side, name);
  return static_cast<std::int32_t>(side);
}

AttachRequest query_attach(std::string_view target) {
  AttachRequest request;
  const std::int64_t tail = query_number(target, "tail", 0);
  if (tail < 0) throw Error(Code::invalid_argument, "tail must not be negative");
  request.tail = static_cast<std::uint64_t>(tail);
  request.with_input = query_number(target, "stdin", 0) != 0;
  request.columns = query_side(target, "columns");
  request.rows = query_side(target, "rows");
  return request;
}

SlowReader query_slow_reader(std::string_view target) {
  const std::string_view text = query_text(target, "slow").value_or("cut-off");
  if (text == "wait") return SlowReader::wait;
  if (text == "cut-off") return SlowReader::cut_off;
  if (text == "lose") return SlowReader::lose;
  throw Error(Code::invalid_argument, "slow must be wait, cut-off or lose");
}

/// What a client sent behind its request.
std::string text_of(const beast::flat_buffer& buffer) {
  const auto bytes = buffer.data();
  return {static_cast<const char*>(bytes.data()), bytes.size()};
}

Response switch_protocols(const Request& request, const char* protocol) {
  Response response(http::status::switching_protocols, request.version());
  response.set(http::field::upgrade, protocol);
  response.set(http::field::connection, "Upgrade");
  return response;
}

json::object stats_object(const UsageReport& report) {
  return {{"cpu_nanoseconds", report.guest.cpu_nanoseconds},
          {"memory_bytes", report.guest.memory_bytes},
          {"memory_limit_bytes", report.guest.memory_limit_bytes},
          {"processes", report.guest.processes},
          {"received_bytes", report.guest.received_bytes},
          {"sent_bytes", report.guest.sent_bytes},
          {"read_bytes", report.guest.read_bytes},
          {"written_bytes", report.guest.written_bytes},
          {"tether_resident_bytes", report.guest.tether_resident_bytes},
          {"tether_descriptors", report.guest.tether_descriptors},
          {"machine_resident_bytes", report.machine.resident_bytes},
          {"machine_private_bytes", report.machine.private_bytes},
          {"machine_proportional_bytes", report.machine.proportional_bytes},
          {"machine_cpu_nanoseconds", std::chrono::nanoseconds(report.machine.cpu_time).count()}};
}

}  // namespace

struct Server::State : std::enable_shared_from_this<State> {
  State(const asio::any_io_executor& on, Launcher& of)
      : executor(on), launcher(of), acceptor(on), client_gone(on) {}

  Task<> serve(UniqueFd client, bool is_first);
  Task<bool> read_request(Socket& socket, beast::flat_buffer& buffer, Request& request);
  Task<Response> respond(const Request& request);
  Task<> upgrade_to_bytes(Socket socket, std::string early, const Request& request);
  Task<std::shared_ptr<link::ssh::Channel>> open_tunnel(const std::string& target);
  Task<> hold_files(Socket socket, const Request& request, bool is_first);
  Task<> upgrade(Socket socket, std::string early, const Request& request, bool is_first);

  asio::any_io_executor executor;
  Launcher& launcher;
  asio::local::stream_protocol::acceptor acceptor;
  std::size_t clients = 0;
  Event client_gone;
};

Server::Server(const asio::any_io_executor& executor, Launcher& launcher, const std::filesystem::path& socket)
    : state_(std::make_shared<State>(executor, launcher)) {
  const UniqueFd folder = open_file(socket.parent_path(), O_PATH | O_DIRECTORY);
  const std::string path = socket_path(folder.get(), socket.filename().string());
  const mode_t before = ::umask(0077);
  boost::system::error_code failure;
  const asio::local::stream_protocol::endpoint endpoint(path);
  state_->acceptor.open(endpoint.protocol(), failure);
  if (!failure) state_->acceptor.bind(endpoint, failure);
  if (!failure) state_->acceptor.listen(asio::socket_base::max_listen_connections, failure);
  ::umask(before);
  if (failure) throw errno_error("listen on " + socket.string(), failure.value());
}

Server::~Server() {
  boost::system::error_code ignored;
  state_->acceptor.close(ignored);
}

void Server::serve(UniqueFd client, bool is_first) {
  spawn_detached(state_->executor, "client",
                 [](std::shared_ptr<State> state, UniqueFd fd, bool first) -> Task<> {
                   const Counted counted(state->clients, state->client_gone);
                   co_await state->serve(std::move(fd), first);
                 }(state_, std::move(client), is_first));
}

Task<> Server::wait_idle(Milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (state_->clients > 0) {
    if (!co_await state_->client_gone.wait_until(deadline)) break;
  }
}

Task<> Server::accept_clients() {
  const auto state = state_;
  while (true) {
    boost::system::error_code failure;
    Socket socket = co_await state->acceptor.async_accept(asio::redirect_error(asio::use_awaitable, failure));
    if (failure == asio::error::operation_aborted || failure == asio::error::bad_descriptor) co_return;
    if (failure) {
      // Out of descriptors: those of other clients will come back.
      log::warning("accept: {}", failure.message());
      co_await sleep_for(Milliseconds(100));
      continue;
    }
    serve(UniqueFd(socket.release()), false);
  }
}

Task<bool> Server::State::read_request(Socket& socket, beast::flat_buffer& buffer, Request& request) {
  http::request_parser<http::string_body> parser;
  parser.body_limit(kBodyLimit);
  parser.header_limit(kHeaderLimit);
  boost::system::error_code failure;
  co_await with_deadline(
      kRequestLimit, "a request",
      [](Socket& from, beast::flat_buffer& into, http::request_parser<http::string_body>& by,
         boost::system::error_code& result) -> Task<> {
        co_await http::async_read(from, into, by, asio::redirect_error(asio::use_awaitable, result));
      }(socket, buffer, parser, failure));
  if (failure) co_return false;
  request = parser.release();
  co_return true;
}

Task<> Server::State::serve(UniqueFd client, bool is_first) {
  Socket socket(executor, asio::local::stream_protocol(), client.release());
  beast::flat_buffer buffer;
  Request request;
  const bool complete = co_await read_request(socket, buffer, request);
  if (is_first && !complete) launcher.first_client_came();
  if (!complete) co_return;
  if (beast::iequals(request[http::field::upgrade], kUpgrade)) {
    co_await upgrade(std::move(socket), text_of(buffer), request, is_first);
    co_return;
  }
  if (request.target() == "/v1/files") {
    co_await hold_files(std::move(socket), request, is_first);
    co_return;
  }
  if (is_first) launcher.first_client_came();
  if (beast::iequals(request[http::field::upgrade], kUpgradeToBytes)) {
    co_await upgrade_to_bytes(std::move(socket), text_of(buffer), request);
    co_return;
  }
  Response response = co_await respond(request);
  boost::system::error_code ignored;
  co_await http::async_write(socket, response, asio::redirect_error(asio::use_awaitable, ignored));
}

/// Answers once copies can be made, and keeps it so until the client closes.
Task<> Server::State::hold_files(Socket socket, const Request& request, bool is_first) {
  const Counted hold = launcher.hold_files();
  if (is_first) launcher.first_client_came();
  std::optional<Error> refusal;
  try {
    co_await launcher.wait_files();
  } catch (const Error& error) {
    refusal = error;
  }
  Response response = refusal ? refuse(request, *refusal) : answer(request, http::status::ok, "{}");
  boost::system::error_code failure;
  co_await http::async_write(socket, response, asio::redirect_error(asio::use_awaitable, failure));
  if (refusal || failure) co_return;
  char byte = 0;
  co_await socket.async_read_some(asio::buffer(&byte, 1), asio::redirect_error(asio::use_awaitable, failure));
}

Task<> Server::State::upgrade(Socket socket, std::string early, const Request& request, bool is_first) {
  const std::string target(request.target());
  const bool is_exec = target.starts_with("/v1/exec");
  const bool is_attach = target.starts_with("/v1/attach");
  const bool is_copy = target.starts_with("/v1/copy");
  std::optional<ExecRequest> exec;
  std::optional<CopyRequest> copy;
  SlowReader slow = SlowReader::wait;
  AttachRequest attach;
  std::optional<Error> refusal;
  try {
    if (is_exec) exec = parse_exec(request.body());
    if (is_copy) copy = parse_copy(request.body());
    if (is_attach) {
      slow = query_slow_reader(target);
      attach = query_attach(target);
    }
    if (!is_exec && !is_attach && !is_copy) throw Error(Code::not_found, "no such stream: {}", target);
  } catch (const Error& error) {
    refusal = error;
  }
  boost::system::error_code ignored;
  if (refusal) {
    if (is_first) launcher.first_client_came();
    Response response = refuse(request, *refusal);
    co_await http::async_write(socket, response, asio::redirect_error(asio::use_awaitable, ignored));
    co_return;
  }
  Response switching = switch_protocols(request, kUpgrade);
  co_await http::async_write(socket, switching, asio::redirect_error(asio::use_awaitable, ignored));

  const auto client =
      std::make_shared<Subscriber>(executor, UniqueFd(socket.release()), std::move(early), slow);
  if (is_exec) {
    co_await launcher.exec(client, std::move(*exec));
  } else if (is_copy) {
    if (is_first) launcher.first_client_came();
    co_await launcher.copy(client, std::move(*copy));
  } else {
    // The first await inside puts the client on the list of readers, so the start may go on now.
    if (is_first) launcher.first_client_came();
    co_await launcher.attach(client, attach);
  }
}

Task<std::shared_ptr<link::ssh::Channel>> Server::State::open_tunnel(const std::string& target) {
  const std::string path = target.substr(0, target.find('?'));
  if (path == "/v1/ssh") co_return co_await launcher.open_login();
  if (path != "/v1/forward") throw Error(Code::not_found, "no such stream: {}", path);
  const std::int64_t port = query_number(target, "port", 0);
  if (port < 1 || port > 65535) throw Error(Code::invalid_argument, "there is no port {}", port);
  co_return co_await launcher.open_forward(static_cast<std::uint16_t>(port));
}

Task<> Server::State::upgrade_to_bytes(Socket socket, std::string early, const Request& request) {
  std::shared_ptr<link::ssh::Channel> channel;
  std::optional<Error> refusal;
  try {
    channel = co_await open_tunnel(std::string(request.target()));
  } catch (const Error& error) {
    refusal = error;
  }
  Response response = refusal ? refuse(request, *refusal) : switch_protocols(request, kUpgradeToBytes);
  boost::system::error_code ignored;
  co_await http::async_write(socket, response, asio::redirect_error(asio::use_awaitable, ignored));
  if (!channel) co_return;
  try {
    co_await channel->write_all(early);
    co_await link::splice(channel, UniqueFd(socket.release()));
  } catch (const Error& error) {
    log::info("connection into the pod: {}", error.what());
  }
}

Task<Response> Server::State::respond(const Request& request) {
  const std::string target(request.target());
  const std::string path = target.substr(0, target.find('?'));
  std::optional<Error> refusal;
  std::string body = "{}";
  try {
    if (path == "/v1/started") {
      co_await launcher.wait_started();
    } else if (path == "/v1/wait") {
      const Exit exit = co_await launcher.wait_exit();
      body = encode_exit(exit).substr(kFrameHeaderSize);
    } else if (path == "/v1/stop") {
      co_await launcher.stop(std::chrono::seconds(query_number(target, "grace", 10)));
    } else if (path == "/v1/kill") {
      co_await launcher.kill(static_cast<std::int32_t>(query_number(target, "signal", 9)));
    } else if (path == "/v1/pause") {
      co_await launcher.pause();
    } else if (path == "/v1/unpause") {
      co_await launcher.unpause();
    } else if (path == "/v1/snapshot") {
      co_await launcher.snapshot(std::string(query_text(target, "name").value_or("")));
    } else if (path == "/v1/stats") {
      const UsageReport report = co_await launcher.usage();
      body = json::serialize(stats_object(report));
    } else if (path == "/v1/update") {
      co_await launcher.update(parse_update(request.body()));
    } else if (path == "/v1/exec") {
      const std::string id = co_await launcher.exec_detached(parse_exec(request.body()));
      body = json::serialize(json::object{{"id", id}});
    } else {
      throw Error(Code::not_found, "the launcher has no {}", path);
    }
  } catch (const Error& error) {
    refusal = error;
  }
  co_return refusal ? refuse(request, *refusal) : answer(request, http::status::ok, std::move(body));
}

}  // namespace berth::launcher
