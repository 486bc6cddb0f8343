#include "launcher/client.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "launcher/http.hpp"

namespace berth::launcher {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using Socket = asio::local::stream_protocol::socket;

constexpr std::size_t kBodyLimit = 4u << 20;

Error no_answer() {
  return Error(Code::unavailable,
               "the container's launcher ended without an answer; its log is launcher.log in the "
               "container's folder");
}

/// One request and its answer on a blocking connection.
class Exchange {
 public:
  Exchange(UniqueFd connection, std::chrono::seconds limit)
      : socket_(context_, asio::local::stream_protocol(), connection.release()) {
    const timeval wait{limit.count(), 0};
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  }

  /// `upgrade`: to which protocol, or nullptr.
  void send(const std::string& target, const std::string& body, const char* upgrade = nullptr) {
    http::request<http::string_body> request(http::verb::post, target, 11);
    request.set(http::field::host, "launcher");
    request.set(http::field::content_type, "application/json");
    if (upgrade != nullptr) {
      request.set(http::field::upgrade, upgrade);
      request.set(http::field::connection, "Upgrade");
    }
    request.body() = body;
    request.prepare_payload();
    boost::system::error_code failure;
    http::write(socket_, request, failure);
    if (failure) throw no_answer();
  }

  /// The answer's status; throws the launcher's Error for one that is not a success.
  http::status receive() {
    parser_.body_limit(kBodyLimit);
    boost::system::error_code failure;
    http::read_header(socket_, buffer_, parser_, failure);
    if (!failure && parser_.get().result() != http::status::switching_protocols) {
      http::read(socket_, buffer_, parser_, failure);
    }
    if (failure == asio::error::would_block || failure == asio::error::try_again) {
      throw Error(Code::timeout, "the container's launcher did not answer in time");
    }
    if (failure) throw no_answer();
    const http::status status = parser_.get().result();
    if (http::to_status_class(status) != http::status_class::successful &&
        status != http::status::switching_protocols) {
      throw parse_error_body(parser_.get().body());
    }
    return status;
  }

  const std::string& body() const { return parser_.get().body(); }

  UpgradedStream release() {
    const auto rest = buffer_.data();
    UpgradedStream stream;
    stream.early.assign(static_cast<const char*>(rest.data()), rest.size());
    const timeval forever{0, 0};
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
    stream.stream.reset(socket_.release());
    return stream;
  }

 private:
  asio::io_context context_;
  Socket socket_;
  beast::flat_buffer buffer_;
  http::response_parser<http::string_body> parser_;
};

UpgradedStream upgrade(UniqueFd connection, const std::string& target, const std::string& body,
                       const char* protocol) {
  constexpr std::chrono::seconds kLimit{60};
  Exchange exchange(std::move(connection), kLimit);
  exchange.send(target, body, protocol);
  if (exchange.receive() != http::status::switching_protocols) throw no_answer();
  return exchange.release();
}

}  // namespace

Client::Client(const Paths& paths, std::string id) : paths_(paths), id_(std::move(id)) {}

UniqueFd Client::connect() {
  UniqueFd folder(::open(paths_.pod_runtime(id_).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) throw Error(Code::unavailable, "the container has no launcher");
  UniqueFd connection(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket_path(folder.get(), kSocketName);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw Error(Code::unavailable, "the container's launcher does not answer: {}", ::strerror(errno));
  }
  return connection;
}

std::string Client::request_on(UniqueFd connection, const std::string& target, std::chrono::seconds limit,
                               const std::string& body) {
  Exchange exchange(std::move(connection), limit);
  exchange.send(target, body);
  exchange.receive();
  return exchange.body();
}

UpgradedStream Client::open_stream_on(UniqueFd connection, const std::string& target,
                                      const std::string& body) {
  return upgrade(std::move(connection), target, body, kUpgrade);
}

UniqueFd Client::hold_files_on(UniqueFd connection) {
  constexpr std::chrono::seconds kLimit{300};
  Exchange exchange(std::move(connection), kLimit);
  exchange.send("/v1/files", "{}");
  exchange.receive();
  return std::move(exchange.release().stream);
}

UniqueFd Client::hold_files() {
  return hold_files_on(connect());
}

std::string Client::request(const std::string& target, std::chrono::seconds limit, const std::string& body) {
  return request_on(connect(), target, limit, body);
}

UpgradedStream Client::open_stream(const std::string& target, const std::string& body) {
  return open_stream_on(connect(), target, body);
}

UpgradedStream Client::open_bytes(const std::string& target) {
  return upgrade(connect(), target, "{}", kUpgradeToBytes);
}

class PendingRequest::Exchange : public launcher::Exchange {
  using launcher::Exchange::Exchange;
};

PendingRequest::PendingRequest(UniqueFd connection, const std::string& target, std::chrono::seconds limit)
    : exchange_(std::make_unique<Exchange>(std::move(connection), limit)) {
  exchange_->send(target, "{}");
}

PendingRequest::PendingRequest(PendingRequest&&) noexcept = default;
PendingRequest::~PendingRequest() = default;

std::string PendingRequest::answer() {
  exchange_->receive();
  return exchange_->body();
}

UsageReport parse_usage(std::string_view body) {
  boost::system::error_code failure;
  const boost::json::value value = boost::json::parse(body, failure);
  if (failure || !value.is_object()) throw Error(Code::corrupt, "the launcher's statistics cannot be read");
  const auto number = [&](std::string_view name) {
    const boost::json::value* found = value.get_object().if_contains(name);
    boost::system::error_code unfit;
    const auto result = found != nullptr ? found->to_number<std::uint64_t>(unfit) : 0;
    return unfit ? 0 : result;
  };
  UsageReport report;
  report.guest.cpu_nanoseconds = number("cpu_nanoseconds");
  report.guest.memory_bytes = number("memory_bytes");
  report.guest.memory_limit_bytes = number("memory_limit_bytes");
  report.guest.processes = number("processes");
  report.guest.received_bytes = number("received_bytes");
  report.guest.sent_bytes = number("sent_bytes");
  report.guest.read_bytes = number("read_bytes");
  report.guest.written_bytes = number("written_bytes");
  report.machine.resident_bytes = number("machine_resident_bytes");
  report.machine.private_bytes = number("machine_private_bytes");
  report.machine.proportional_bytes = number("machine_proportional_bytes");
  report.machine.cpu_time = std::chrono::milliseconds(number("machine_cpu_nanoseconds") / 1'000'000);
  return report;
}

}  // namespace berth::launcher
