#include "tether/session/device_filter.hpp"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/error.hpp"
#include "base/unique_fd.hpp"

namespace berth::tether {
namespace {

constexpr std::uint32_t kTypeMask = 0xffff;
constexpr std::int32_t kMemoryDevices = 1;    // null and its like
constexpr std::int32_t kTerminalDevices = 5;  // tty, console, ptmx
constexpr std::int32_t kUnix98Slaves = 136;

constexpr bpf_insn load(std::uint8_t to, std::int16_t offset) {
  return {BPF_LDX | BPF_MEM | BPF_W, to, BPF_REG_1, offset, 0};
}
constexpr bpf_insn compute(std::uint8_t operation, std::uint8_t on, std::int32_t value) {
  return {static_cast<std::uint8_t>(BPF_ALU | operation | BPF_K), on, 0, 0, value};
}
/// To the instruction with the index `target`; see with_offsets.
constexpr bpf_insn jump(std::uint8_t condition, std::uint8_t on, std::int32_t value, std::int16_t target) {
  return {static_cast<std::uint8_t>(BPF_JMP | condition | BPF_K), on, 0, target, value};
}
constexpr bpf_insn answer(std::int32_t value) {
  return {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value};
}
constexpr bpf_insn leave() {
  return {BPF_JMP | BPF_EXIT, 0, 0, 0, 0};
}

constexpr std::uint8_t kType = BPF_REG_2;
constexpr std::uint8_t kAccess = BPF_REG_3;
constexpr std::uint8_t kMajor = BPF_REG_4;
constexpr std::uint8_t kMinor = BPF_REG_5;

constexpr std::int16_t kMemory = 13;
constexpr std::int16_t kDeny = 18;
constexpr std::int16_t kAllow = 20;

/// Jumps count from the instruction behind them.
template <std::size_t Size>
constexpr std::array<bpf_insn, Size> with_offsets(std::array<bpf_insn, Size> program) {
  for (std::size_t i = 0; i < Size; ++i) {
    const bool is_jump = BPF_CLASS(program[i].code) == BPF_JMP && BPF_OP(program[i].code) != BPF_EXIT;
    if (is_jump)
      program[i].off = static_cast<std::int16_t>(program[i].off - static_cast<std::int16_t>(i) - 1);
  }
  return program;
}

// BPF_PROG_TYPE_CGROUP_DEVICE: 1 allows.
constexpr std::array kProgram = with_offsets(std::array{
    load(kType, offsetof(bpf_cgroup_dev_ctx, access_type)),
    load(kAccess, offsetof(bpf_cgroup_dev_ctx, access_type)),
    compute(BPF_AND, kType, kTypeMask),
    compute(BPF_RSH, kAccess, 16),
    load(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
    load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)),
    jump(BPF_JEQ, kAccess, BPF_DEVCG_ACC_MKNOD, kAllow),
    jump(BPF_JNE, kType, BPF_DEVCG_DEV_CHAR, kDeny),
    jump(BPF_JEQ, kMajor, kUnix98Slaves, kAllow),
    jump(BPF_JEQ, kMajor, kMemoryDevices, kMemory),
    jump(BPF_JNE, kMajor, kTerminalDevices, kDeny),
    jump(BPF_JLE, kMinor, 2, kAllow),
    jump(BPF_JA, 0, 0, kDeny),
    jump(BPF_JEQ, kMinor, 3, kAllow),  // null
    jump(BPF_JEQ, kMinor, 5, kAllow),  // zero
    jump(BPF_JEQ, kMinor, 7, kAllow),  // full
    jump(BPF_JEQ, kMinor, 8, kAllow),  // random
    jump(BPF_JEQ, kMinor, 9, kAllow),  // urandom
    answer(0),
    leave(),
    answer(1),
    leave(),
});
static_assert(kProgram[kMemory].imm == 3 && kProgram[kDeny].imm == 0 && kProgram[kAllow].imm == 1);

int bpf(int command, bpf_attr& attributes) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

UniqueFd load_program() {
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = reinterpret_cast<std::uintptr_t>(kProgram.data());
  attributes.insn_cnt = kProgram.size();
  attributes.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");
  return UniqueFd(check(bpf(BPF_PROG_LOAD, attributes), "load the device filter"));
}

}  // namespace

void limit_devices(int cgroup) {
  const UniqueFd program = load_program();
  bpf_attr attributes{};
  attributes.target_fd = static_cast<std::uint32_t>(cgroup);
  attributes.attach_bpf_fd = static_cast<std::uint32_t>(program.get());
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  check(bpf(BPF_PROG_ATTACH, attributes), "attach the device filter");
}

}  // namespace berth::tether
