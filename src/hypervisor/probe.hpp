#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/async.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/kernel.hpp"

namespace berth::hypervisor {

/// Whether KVM runs our kernel on this host.
struct KvmAnswer {
  bool usable = false;
  std::string reason;   ///< one sentence without a full stop
  std::string kernel;   ///< the guest kernel's release
  std::string boot_id;  ///< of the host's boot that the answer holds for
  std::string qemu;     ///< fingerprint of its program
  std::string when;     ///< RFC 3339

  bool operator==(const KvmAnswer&) const = default;
};

/// Some hosts have a /dev/kvm that opens, makes machines and then never runs a stock kernel, so only a boot
/// tells.
class KvmProbe {
 public:
  struct Settings {
    std::filesystem::path state;  ///< folder where answers are kept
    GuestKernel kernel;
    std::filesystem::path initramfs;
    std::optional<Credentials> credentials;  ///< what machines run as
    std::string qemu;                        ///< fingerprint of its program
    std::filesystem::path device = "/dev/kvm";
    Milliseconds limit{5000};  ///< for the first byte on the control port
  };
  KvmProbe(Hypervisor& hypervisor, const Clock& clock, Settings settings);

  /// The kept answer when there is one for this kernel, QEMU and host boot, else that of a new boot. A KVM
  /// that does not work is an answer; what else keeps a machine from starting (no memory, no kernel) is
  /// thrown.
  Task<KvmAnswer> ask();
  /// A new boot whatever is kept. Done soon after the limit.
  Task<KvmAnswer> ask_again();
  /// The kept answer only.
  std::optional<KvmAnswer> kept() const;

 private:
  /// What is known without a boot: why the device cannot be used, or nothing.
  std::optional<std::string> device_problem() const;
  Task<> boot(std::optional<Error>& failure);
  std::string describe(const Error& failure) const;
  KvmAnswer make_answer(bool usable, std::string reason) const;
  std::filesystem::path file() const;

  Hypervisor& hypervisor_;
  const Clock& clock_;
  Settings settings_;
  std::string boot_id_;
};

enum class AcceleratorRequest { automatic, kvm, tcg };
/// "auto", "kvm" or "tcg". Throws invalid-argument.
AcceleratorRequest parse_accelerator(std::string_view text);

struct AcceleratorChoice {
  Accelerator accelerator = Accelerator::tcg;
  std::string note;  ///< one line for the user when software emulation was not their choice, else empty
};
/// Asks the probe unless tcg was requested. Throws Code::unsupported when kvm was requested and does not
/// work.
Task<AcceleratorChoice> choose_accelerator(AcceleratorRequest request, KvmProbe& probe);

}  // namespace berth::hypervisor
