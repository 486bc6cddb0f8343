#include "launcher/template_maker.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <boost/asio/this_coro.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "extraconfig/codec.hpp"
#include "launcher/machine_plan.hpp"
#include "launcher/user_network.hpp"
#include "link/control.hpp"
#include "link/messages.hpp"

namespace berth::launcher {
namespace {

constexpr Milliseconds kConfigureLimit{30'000};
constexpr Milliseconds kQuitLimit{10'000};

std::vector<hypervisor::Disk> template_disks(int image, int scratch) {
  return {{image, true, kImageDisk}, {scratch, false, kScratchDisk}};
}

/// The one card that a clone has a driver for when its configuration names it.
hypervisor::NetworkCard unnamed_card(hypervisor::NetworkCard::Backend backend) {
  return {backend, std::string(link::kUnnamedCard), -1};
}

/// The host's end of a guest that has not been told anything.
class IdleGuest {
 public:
  IdleGuest(const asio::any_io_executor& executor, UniqueFd port)
      : control_(std::make_shared<link::ControlChannel>(executor, std::move(port))),
        heard_(std::make_shared<Heard>(executor)) {
    spawn_detached(executor, "a template's control port", serve(control_, heard_));
  }
  ~IdleGuest() { control_->close(); }
  IdleGuest(const IdleGuest&) = delete;
  IdleGuest& operator=(const IdleGuest&) = delete;

  Task<> wait_hello(Milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!heard_->hello && !heard_->failure) {
      if (!co_await heard_->changed.wait_until(deadline)) break;
    }
    if (heard_->failure) throw *heard_->failure;
    if (!heard_->hello)
      throw Error(Code::timeout, "the template's machine did not come up within {} ms", limit.count());
  }

  Task<> configure() {
    extraconfig::Difference keys;
    keys.changed = template_keys();
    co_await control_->send(link::DocumentKind::config, std::move(keys), kConfigureLimit);
  }

  Task<> order(std::string_view verb) {
    link::Order order;
    order.verb = verb;
    extraconfig::Difference keys;
    keys.changed = extraconfig::encode(order);
    co_await control_->send(link::DocumentKind::order, std::move(keys), kConfigureLimit);
  }

 private:
  struct Heard {
    explicit Heard(const asio::any_io_executor& executor) : changed(executor) {}
    bool hello = false;
    std::optional<Error> failure;
    Event changed;
  };

  static Task<> serve(std::shared_ptr<link::ControlChannel> control, std::shared_ptr<Heard> heard) {
    // As temporaries in the await they would be destroyed twice by g++ 12.
    link::ControlChannel::Handler handler = [heard](link::Document document) -> Task<extraconfig::Pairs> {
      link::Hello hello;
      if (document.kind == link::DocumentKind::hello) {
        extraconfig::decode(document.keys.changed, hello);
        link::check_version(hello);
        heard->hello = true;
        heard->changed.notify_all();
      }
      co_return extraconfig::Pairs{};
    };
    try {
      co_await control->serve(std::move(handler));
      heard->failure.emplace(Code::unavailable, "the template's machine ended before it was frozen");
    } catch (const Error& error) {
      heard->failure = error;
    }
    heard->changed.notify_all();
  }

  std::shared_ptr<link::ControlChannel> control_;
  std::shared_ptr<Heard> heard_;
};

UniqueFd make_empty_disk(std::uint64_t bytes) {
  UniqueFd file(check(::memfd_create("empty disk", MFD_CLOEXEC), "memfd_create"));
  check(::ftruncate(file.get(), static_cast<off_t>(bytes)), "make an empty disk");
  return file;
}

UniqueFd reopen_read_only(const UniqueFd& file) {
  return open_file("/proc/self/fd/" + std::to_string(file.get()), O_RDONLY);
}

/// A full disk shows as a machine that dies of a page it cannot have, or as a state that cannot be written.
bool lacks_space(int file, const std::optional<hypervisor::MachineEnd>& end) {
  constexpr std::uint64_t kSome = 1 << 20;
  struct statvfs disk {};
  check(::fstatvfs(file, &disk), "look at the disk of the templates");
  return (end && end->exit.signal == SIGBUS) || disk.f_bavail * disk.f_frsize < kSome;
}

Task<> boot_and_freeze(hypervisor::Machine& machine, int state, bool has_image, Milliseconds boot_limit) {
  IdleGuest guest(co_await asio::this_coro::executor, machine.take_port(hypervisor::Port::control));
  co_await guest.wait_hello(boot_limit);
  co_await guest.configure();
  if (has_image) co_await guest.order(link::verb::assemble);
  co_await guest.order(link::verb::settle);
  co_await machine.freeze(state);
}

Task<> note_end(hypervisor::Machine& machine, std::optional<hypervisor::MachineEnd>& end) {
  end = co_await machine.wait_end();
}

/// What made the making fail, in words for a user.
Task<Error> explain(Error failure, hypervisor::Machine& machine, int state) {
  std::optional<hypervisor::MachineEnd> end;
  if (failure.code() == Code::unavailable) {
    try {
      co_await with_deadline(kQuitLimit, "the end of the machine", note_end(machine, end));
    } catch (const Error&) {
      // It is broken, and has not ended.
    }
  }
  if (lacks_space(state, end))
    co_return Error(Code::capacity, "there is not enough space on the disk for a template");
  if (end) co_return Error(Code::unavailable, "the template's machine: {}", end->describe());
  co_return failure;
}

}  // namespace

EmptyDisks::EmptyDisks()
    : scratch(make_empty_disk(kScratchBytes)),
      image(reopen_read_only(make_empty_disk(kTemplateImageBytes))) {}

std::vector<hypervisor::Disk> EmptyDisks::disks() const {
  return template_disks(image.get(), scratch.get());
}

hypervisor::MachineSpec template_spec(hypervisor::MachineSpec machine) {
  machine.name = "berth-template";
  machine.forwards.clear();
  machine.network_cards = {unnamed_card(hypervisor::NetworkCard::Backend::none)};
  machine.disks = template_disks(-1, -1);
  machine.credentials = template_credentials();
  return machine;
}

hypervisor::MachineSpec clone_spec(hypervisor::MachineSpec machine) {
  using Backend = hypervisor::NetworkCard::Backend;
  const bool has_network = !machine.network_cards.empty();
  machine.network_cards = {unnamed_card(has_network ? machine.network_cards[0].backend : Backend::none)};
  machine.disks.resize(kTemplateDisks);
  return machine;
}

extraconfig::Pairs template_keys() {
  config::NetworkEndpoint endpoint = user_network(std::string(link::kUnnamedCard));
  // The guest has nothing to tell of it then.
  endpoint.assigned = *endpoint.ip;
  endpoint.network.assigned = {endpoint.network.gateway, endpoint.network.nameservers};
  config::ExecutorConfig config;
  config.networks.emplace(kUserNetwork, std::move(endpoint));
  return extraconfig::filter(extraconfig::encode(config), extraconfig::kGuestScopes, describe::scope::hidden);
}

Task<> fill_template(hypervisor::Hypervisor& hypervisor, hypervisor::MachineSpec spec,
                     const hypervisor::TemplateStore::Draft& draft, int image, Milliseconds boot_limit) {
  const bool has_image = image >= 0;
  const EmptyDisks empty;
  spec.disks = has_image ? template_disks(image, draft.disk()) : empty.disks();
  spec.memory_file = draft.memory();
  const std::unique_ptr<hypervisor::Machine> machine = co_await hypervisor.start(std::move(spec));
  std::optional<Error> failure;
  try {
    co_await boot_and_freeze(*machine, draft.state(), has_image, boot_limit);
  } catch (const Error& error) {
    failure = error;
  }
  std::optional<Error> why;
  if (failure) why = co_await explain(*failure, *machine, draft.state());
  co_await machine->quit(kQuitLimit);
  if (why) throw *why;
}

}  // namespace berth::launcher
