#include "guest.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <exception>
#include <iostream>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/ids.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "extraconfig/codec.hpp"
#include "hypervisor/initramfs.hpp"
#include "hypervisor/kernel.hpp"
#include "hypervisor/qemu/qemu.hpp"

namespace berth::tether_test {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kToolLimit{60'000};
constexpr std::string_view kMac = "52:54:00:12:34:56";

void write_file(const fs::path& path, std::string_view content, mode_t mode = 0644) {
  make_directories(path.parent_path(), 0755);
  write_file_atomically(path, content, mode);
}

/// A root file system of Debian's static busybox.
void make_root(const fs::path& root) {
  for (const char* folder : {"bin", "etc", "tmp", "data/deep", "home/user", "root"})
    make_directories(root / folder, 0755);
  fs::copy_file("/bin/busybox", root / "bin/busybox");
  fs::permissions(root / "bin/busybox", fs::perms(0755));
  fs::copy_file(BERTH_FORK_CLIENT, root / "bin/berth-fork");
  const std::string applets = run_tool("/bin/busybox", {"--list"});
  std::size_t begin = 0;
  while (begin < applets.size()) {
    const std::size_t end = applets.find('\n', begin);
    const std::string name = applets.substr(begin, end - begin);
    if (name != "busybox") fs::create_symlink("busybox", root / "bin" / name);
    begin = end + 1;
  }
  write_file(root / "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
  write_file(root / "etc/group", "root:x:0:\nuser:x:1000:\nstaff:x:50:user\n");
  write_file(root / "etc/hosts", "127.0.0.1 localhost\n192.0.2.7 of-the-image\n");
  write_file(root / "data/deep/file", "from the image\n", 0640);
  fs::create_hard_link(root / "data/deep/file", root / "data/twin");
  fs::create_symlink("deep/file", root / "data/link");
  write_file(root / "etc/not-executable", "just text\n");
  write_file(root / "etc/no-interpreter", "#!/not/there\n", 0755);
  if (::geteuid() == 0) {
    EXPECT_EQ(::chown((root / "data/deep/file").c_str(), 1000, 50), 0);
  }
}

fs::path tether_program() {
  const char* given = std::getenv("BERTH_TETHER");
  return given != nullptr ? given : BERTH_TETHER;
}

}  // namespace

Fixtures::Fixtures() : folder_(fs::temp_directory_path(), "berth-tether-test-") {
  const hypervisor::GuestKernel kernel = hypervisor::find_kernel();
  kernel_ = kernel.image;
  initramfs_ = folder_.path() / "initramfs";
  hypervisor::InitramfsSpec initramfs;
  initramfs.kernel = kernel;
  initramfs.firewall_modules.assign(hypervisor::kFirewallModules.begin(), hypervisor::kFirewallModules.end());
  initramfs.init = tether_program();
  write_file(initramfs_, hypervisor::make_initramfs(initramfs));
  make_root(folder_.path() / "root");
  image_ = folder_.path() / "image.erofs";
  run_tool("mkfs.erofs", {image_, folder_.path() / "root"});
}

const Fixtures& Fixtures::instance() {
  static const Fixtures fixtures;
  return fixtures;
}

fs::path Fixtures::make_scratch(const fs::path& folder) {
  fs::path scratch = folder / "scratch.ext4";
  const UniqueFd file = open_file(scratch, O_RDWR | O_CREAT, 0600);
  check(::ftruncate(file.get(), 128 << 20), "size the scratch disk");
  run_tool("/sbin/mke2fs", {"-q", "-t", "ext4", "-F", scratch});
  return scratch;
}

Guest::Guest(const asio::any_io_executor& executor, std::unique_ptr<hypervisor::Machine> machine)
    : executor_(executor),
      machine_(std::move(machine)),
      control_(executor, machine_->take_port(hypervisor::Port::control)),
      output_port_(executor, machine_->take_port(hypervisor::Port::output)),
      changed_(executor),
      host_key_(link::ssh::generate_key()),
      client_key_(link::ssh::generate_key()) {
  config.common.id = "a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2";
  config.key.data = host_key_.private_key;
  config.authorized_keys = {client_key_.public_key};
  config.time = SystemClock().now();
  config.entropy.data = random_bytes(64);
  link::AttachPort::Keys keys{client_key_.private_key, host_key_.public_key};
  attach_port_ = std::make_shared<link::AttachPort>(
      executor, machine_->take_port(hypervisor::Port::attach), std::move(keys),
      [this](std::string token) { return reset_attach(std::move(token)); });
}

Guest::~Guest() {
  if (testing::Test::HasFailure() || std::uncaught_exceptions() > 0)
    std::cerr << "The console:\n" << machine_->console_tail() << "\n";
  control_.close();
  output_port_.close();
}

Task<std::unique_ptr<Guest>> Guest::boot(const Options& options) {
  const auto executor = co_await asio::this_coro::executor;
  const Fixtures& fixtures = Fixtures::instance();
  auto folder = std::make_unique<TempDir>(fs::temp_directory_path(), "berth-guest-");
  const fs::path scratch =
      options.scratch_image.empty() ? Fixtures::make_scratch(folder->path()) : options.scratch_image;
  const UniqueFd image_file = open_file(fixtures.image(), O_RDONLY);
  const UniqueFd scratch_file = open_file(scratch, O_RDWR);
  hypervisor::MachineSpec spec;
  spec.name = "tether-test";
  spec.kernel = fixtures.kernel();
  spec.initramfs = fixtures.initramfs();
  spec.disks.push_back({image_file.get(), true, "image"});
  if (options.scratch) spec.disks.push_back({scratch_file.get(), false, "scratch"});
  if (options.network)
    spec.network_cards.push_back({hypervisor::NetworkCard::Backend::user, std::string(kMac), -1});
  spec.cpus = options.cpus;
  spec.kernel_arguments = options.kernel_arguments;
  spec.most_memory_bytes = options.most_memory_bytes;
  for (const auto& card : options.network_cards) spec.network_cards.push_back(card);

  hypervisor::QemuHypervisor qemu;
  std::unique_ptr<Guest> guest(new Guest(executor, co_await qemu.start(std::move(spec))));
  guest->folder_ = std::move(folder);
  guest->scratch_ = scratch;
  spawn_detached(executor, "control", guest->serve_control());
  spawn_detached(executor, "output", guest->serve_output());
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  while (!guest->greeted_) {
    if (!co_await guest->changed_.wait_until(deadline)) {
      throw Error(Code::timeout, "the tether said nothing; the console says:\n{}",
                  guest->machine_->console_tail());
    }
  }
  co_return guest;
}

Task<> Guest::serve_control() {
  co_await control_.serve([this](link::Document document) -> Task<extraconfig::Pairs> {
    if (document.kind == link::DocumentKind::hello) {
      extraconfig::decode(document.keys.changed, hello_);
      greeted_ = true;
    } else {
      ++reports_;
      for (const auto& [key, value] : document.keys.changed)
        EXPECT_TRUE(extraconfig::guest_writable(key)) << key;
      extraconfig::apply(document.keys, told_);
      // An address that is gone has no key any more.
      for (auto& [name, endpoint] : config.networks) {
        endpoint.assigned = {};
        endpoint.network.assigned = {};
      }
      extraconfig::decode(told_, config);
    }
    changed_.notify_all();
    if (on_report && document.kind == link::DocumentKind::report) co_await on_report(document.keys.changed);
    co_return extraconfig::Pairs{};
  });
}

Task<> Guest::serve_output() {
  link::OutputParser parser;
  std::string buffer(64 << 10, '\0');
  while (const std::size_t n = co_await output_port_.read_some(buffer.data(), buffer.size())) {
    output_bytes_ += n;
    parser.feed({buffer.data(), n}, [this](link::OutputRecord&& record) {
      if (record.kind == link::OutputKind::mark) {
        marks_.push_back(std::move(record.payload));
        return;
      }
      if (record.kind == link::OutputKind::open) {
        numbers_[record.session] = record.payload;
        outputs_[record.payload] = {};
        return;
      }
      SessionOutput& output = outputs_[numbers_.at(record.session)];
      EXPECT_FALSE(output.ended);
      if (record.kind == link::OutputKind::standard_output) output.standard_output += record.payload;
      if (record.kind == link::OutputKind::standard_error) output.standard_error += record.payload;
      output.ended = output.ended || record.kind == link::OutputKind::end;
    });
    changed_.notify_all();
    while (!reading_) co_await changed_.wait();
  }
}

Task<> Guest::push() {
  extraconfig::Pairs now = extraconfig::filter(extraconfig::encode(config), extraconfig::kGuestScopes);
  extraconfig::Difference difference = extraconfig::diff(told_, now);
  told_ = std::move(now);
  co_await control_.send(link::DocumentKind::config, std::move(difference), kLimit);
}

Task<extraconfig::Pairs> Guest::order(link::Order order) {
  extraconfig::Difference keys;
  keys.changed = extraconfig::encode(order);
  co_return co_await control_.send(link::DocumentKind::order, std::move(keys), kLimit);
}

Task<config::SessionConfig> Guest::exec(const std::string& id, std::vector<std::string> command,
                                        std::function<void(config::SessionConfig&)> adjust) {
  config::SessionConfig session = make_session(std::move(command));
  session.common.id = id;
  session.container = "main";
  if (adjust) adjust(session);
  config.execs[id] = std::move(session);
  co_await push();
  co_await wait_ended(id);
  co_return this->session(id);
}

const config::SessionConfig& Guest::session(const std::string& id) const {
  const auto main = config.sessions.find(id);
  return main != config.sessions.end() ? main->second : config.execs.at(id);
}

Task<> Guest::wait_session(std::string id, std::string what,
                           std::function<bool(const config::SessionConfig&)> condition) {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  while (!condition(session(id))) {
    if (!co_await changed_.wait_until(deadline)) {
      throw Error(Code::timeout, "session {} {}: not within the limit; console:\n{}", id, what,
                  machine_->console_tail());
    }
  }
}

Task<> Guest::wait_change(std::string what, std::function<bool()> condition) {
  constexpr Milliseconds kLookAgain{200};  // what is waited for may come another way
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error(Code::timeout, "{}: not within the limit; console:\n{}", what, machine_->console_tail());
    }
    co_await changed_.wait_for(kLookAgain);
  }
}

Task<> Guest::wait_started(std::string id) {
  co_await wait_session(std::move(id), "started",
                        [](const auto& session) { return !session.started.empty(); });
}

Task<> Guest::wait_ended(std::string id) {
  co_await wait_session(std::move(id), "ended", [](const config::SessionConfig& session) {
    return !session.started.empty() && (session.started != "true" || session.detail.stop_time != 0);
  });
}

Task<> Guest::wait_output(std::string id, std::string what,
                          std::function<bool(const SessionOutput&)> condition) {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  while (!condition(outputs_[id])) {
    if (!co_await changed_.wait_until(deadline)) {
      throw Error(Code::timeout, "output of {}: no {} in \"{}\"", id, what, outputs_[id].standard_output);
    }
  }
}

Task<> Guest::reset_attach(std::string token) {
  link::Order order;
  order.verb = link::verb::reset_attach;
  order.token = std::move(token);
  co_await this->order(std::move(order));
}

Task<std::unique_ptr<link::ssh::Channel>> Guest::attach(std::string id, std::string streams) {
  link::ssh::Request request;
  request.environment.emplace(link::ssh::kAttachSession, id);
  request.environment.emplace(link::ssh::kAttachStreams, streams);
  request.subsystem = link::ssh::kAttachSubsystem;
  co_return co_await attach_port_->open(std::move(request));
}

Task<std::unique_ptr<link::ssh::Channel>> Guest::exec_attached(std::string id,
                                                               std::vector<std::string> command) {
  config::SessionConfig session = make_session(std::move(command));
  session.common.id = id;
  session.container = "main";
  session.run_block = true;
  session.open_stdin = true;
  config.execs[id] = std::move(session);
  co_await push();
  co_return co_await attach(id, "stdin,stdout,stderr");
}

Task<hypervisor::MachineEnd> Guest::power_off() {
  link::Order order;
  order.verb = link::verb::power_off;
  try {
    co_await this->order(order);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::unavailable) << error.what();
  }
  co_return co_await machine_->wait_end();
}

std::string run_tool(const std::string& program, std::vector<std::string> arguments) {
  ProcessSpec spec;
  spec.program = program;
  spec.arguments = std::move(arguments);
  return run_checked(spec, kToolLimit).output;
}

void run_on_loop(std::function<Task<>()> body, std::chrono::seconds limit) {
  asio::io_context loop;
  bool done = false;
  std::exception_ptr failure;
  asio::co_spawn(loop, body(), [&](std::exception_ptr thrown) {
    done = true;
    failure = thrown;
    loop.stop();
  });
  loop.run_for(limit);
  if (!done) ADD_FAILURE() << "the test did not end";
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
}

std::vector<std::string> shell(const std::string& script) {
  std::vector<std::string> words{"sh", "-c"};
  words.push_back(script);
  return words;
}

config::SessionConfig make_session(std::vector<std::string> command) {
  config::SessionConfig session;
  session.cmd.path = command.front();
  session.cmd.args = std::move(command);
  session.active = true;
  return session;
}

link::Order order_for_main(std::string_view verb) {
  link::Order order;
  order.verb = verb;
  order.session = "main";
  return order;
}

Task<std::unique_ptr<Guest>> boot_with_running_main(std::string script) {
  const Guest::Options options;
  auto guest = co_await Guest::boot(options);
  guest->config.sessions["main"] = make_session(shell(script));
  co_await guest->push();
  co_await guest->wait_started("main");
  co_return guest;
}

}  // namespace berth::tether_test
