#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/trace.hpp"
#include "extraconfig/codec.hpp"
#include "launcher/launcher.hpp"
#include "launcher/machine_plan.hpp"
#include "launcher/snapshots.hpp"
#include "launcher/template_maker.hpp"

/// How a copy of a pod goes on from a snapshot, as another pod.
namespace berth::launcher {
namespace {

constexpr Milliseconds kOrderLimit{10'000};

}  // namespace

Task<> Launcher::begin_copy(hypervisor::MachineSpec spec) {
  const SnapshotStore snapshots(settings_.paths);
  const Snapshot snapshot = snapshots.get(settings_.snapshot);
  const SnapshotStore::Files files = snapshots.open(snapshot);
  hypervisor::MachineSpec copy = machine_spec(snapshot);
  copy.name = spec.name;
  copy.credentials = spec.credentials;
  copy.disks = spec.disks;
  machine_shape_ = shape_of(copy);
  copy.frozen = {files.memory.get(), files.state.get()};
  machine_ = co_await hypervisor_.start(std::move(copy));
  is_clone_ = true;
  runs_ended_ = snapshot.runs_ended;
  outputs_ended_ = snapshot.outputs_ended;
  guest_keys_ = snapshot.guest;
  extraconfig::decode(guest_keys_, guest_config_);
}

/// Not before: whoever connects earlier reaches a guest that is the original still, and makes QEMU's network
/// send all that follows to the address of the original's card.
Task<> Launcher::publish_ports() {
  const hypervisor::MachineSpec spec = machine_spec(pod_, settings_.accelerator);
  for (const hypervisor::PortForward& forward : spec.forwards) co_await machine_->add_forward(forward);
}

/// Nothing of the containers runs before the guest is another pod.
Task<> Launcher::become_copy() {
  const trace::Span span("copy: new identity");
  co_await wait_first_client();
  guest_->take_over_attach();
  link::Order order;
  order.verb = link::verb::become;
  order.session = guest_config_.common.id;
  order.token = pod_.id();
  co_await guest_->order(std::move(order), kOrderLimit);
  guest_config_ = copy_config(pod_, guest_config_, guest_->keys(), clock_.now());
  write_login_files();
  co_await send_config();
  co_await publish_ports();
  if (settings_.copy_number != 0) {
    link::Order answer;
    answer.verb = link::verb::forked;
    answer.token = fmt::format("child {} {}", settings_.copy_number, pod_.id());
    co_await guest_->order(std::move(answer), kOrderLimit);
  }
  link::Order thaw;
  thaw.verb = link::verb::thaw;
  thaw.time = clock_.now().count();
  note_started();
  co_await guest_->order(std::move(thaw), kOrderLimit);
}

}  // namespace berth::launcher
