#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "codec/configuration.hpp"
#include "codec/peers.hpp"
#include "extraconfig/codec.hpp"
#include "extraconfig/pair_table.hpp"

/// Times encoding and decoding of a full executor configuration: pairs by the codec, text by two JSON
/// libraries. The peers take turns, so that a busy machine hurts all alike.
///   . scripts/packages.sh && install_packages "${build_packages[@]}" "${bench_packages[@]}"
///   cmake --preset bench && cmake --build --preset bench --target bench-codec
///   build/bench/bench/bench-codec
namespace berth::bench {
namespace {

constexpr int kRounds = 201;
constexpr int kTimes = 50;  ///< a peer's turn

using Clock = std::chrono::steady_clock;
using Config = config::ExecutorConfig;

struct Peer {
  std::string name;
  std::function<void()> encode;
  std::function<void()> decode;
  std::size_t bytes = 0;  ///< of the encoded form
  std::vector<double> encode_us = {};
  std::vector<double> decode_us = {};
};

double microseconds(const std::function<void()>& action) {
  const auto begin = Clock::now();
  for (int i = 0; i < kTimes; ++i) action();
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count() / kTimes;
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void expect_equal(const Config& a, const Config& b, std::string_view name) {
  if (a == b) return;
  throw std::runtime_error(fmt::format("{}: what was decoded is not what was encoded", name));
}

/// A peer whose encoded form is `Encoded`; `size` tells its bytes.
template <typename Encode, typename Decode, typename Size>
Peer make_peer(std::string name, const Config& config, Encode encode, Decode decode, Size size) {
  const auto encoded = std::make_shared<decltype(encode(config))>(encode(config));
  expect_equal(decode(*encoded), config, name);
  Peer peer{std::move(name), [&config, encode] { encode(config); }, [encoded, decode] { decode(*encoded); }};
  peer.bytes = size(*encoded);
  return peer;
}

std::size_t size_of(const extraconfig::Pairs& pairs) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : pairs) bytes += key.size() + value.size();
  return bytes;
}

Config decode_pairs(const extraconfig::Pairs& pairs) {
  extraconfig::PairsSource source(pairs);
  return extraconfig::decode_new<Config>(source);
}

extraconfig::PairTable encode_table(const Config& config) {
  extraconfig::PairTable table;
  extraconfig::encode(config, table);
  return table;
}

Config decode_table(extraconfig::PairTable& table) {
  return extraconfig::decode_new<Config>(table);
}

void measure(std::vector<Peer>& peers) {
  for (int round = 0; round < kRounds; ++round) {
    for (Peer& peer : peers) {
      peer.encode_us.push_back(microseconds(peer.encode));
      peer.decode_us.push_back(microseconds(peer.decode));
    }
  }
}

int run() {
  const Config config = full_configuration();
  const auto text_size = [](const std::string& text) { return text.size(); };
  std::vector<Peer> peers;
  peers.push_back(make_peer(
      "codec, Pairs", config, [](const Config& c) { return extraconfig::encode(c); }, decode_pairs, size_of));
  peers.push_back(make_peer("codec, PairTable", config, encode_table, decode_table,
                            [](const auto& table) { return size_of(table.to_pairs()); }));
  peers.push_back(make_peer("Boost.JSON", config, boost_encode, boost_decode, text_size));
  peers.push_back(make_peer("nlohmann JSON", config, nlohmann_encode, nlohmann_decode, text_size));
  measure(peers);
  const extraconfig::Pairs pairs = extraconfig::encode(config);
  fmt::print("{} keys, {} bytes; medians of {} rounds\n\n", pairs.size(), size_of(pairs), kRounds);
  fmt::print("{:<18}{:>12}{:>12}{:>10}\n", "", "encode us", "decode us", "bytes");
  for (Peer& peer : peers) {
    fmt::print("{:<18}{:>12.1f}{:>12.1f}{:>10}\n", peer.name, median(peer.encode_us), median(peer.decode_us),
               peer.bytes);
  }
  return 0;
}

}  // namespace
}  // namespace berth::bench

int main() {
  try {
    return berth::bench::run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-codec: %s\n", error.what());
    return 1;
  }
}
