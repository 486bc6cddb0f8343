#include "tether/firewall/nftables.hpp"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/error.hpp"
#include "tether/os/netlink.hpp"

namespace berth::tether::firewall {
namespace {

using os::NetlinkMessage;

constexpr std::uint16_t kDhcpServer = 67;
constexpr std::uint16_t kDhcpClient = 68;
constexpr std::int32_t kDestinationNat = -100;  // NF_IP_PRI_NAT_DST

// Offsets of the two address fields, of the ports of TCP and UDP, of the type of ICMP.
constexpr std::uint32_t kIpv4Source = 12;
constexpr std::uint32_t kIpv6Source = 8;
constexpr std::uint32_t kSourcePort = 0;
constexpr std::uint32_t kDestinationPort = 2;
constexpr std::uint32_t kIcmpType = 0;

std::string be16(std::uint16_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string native32(std::uint32_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

/// The messages of one transaction, each with its number.
class Batch {
 public:
  Batch() { add_frame(NFNL_MSG_BATCH_BEGIN); }

  template <typename Fill>
  void add(std::uint16_t type, std::uint16_t flags, Fill fill) {
    const nfgenmsg body{NFPROTO_INET, NFNETLINK_V0, 0};
    NetlinkMessage message(static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type), flags, body);
    fill(message);
    append(message);
  }
  Transaction finish() && {
    add_frame(NFNL_MSG_BATCH_END);
    return {std::move(bytes_), 1, sequence_ - 1};
  }

 private:
  void add_frame(std::uint16_t type) {
    const nfgenmsg body{AF_UNSPEC, NFNETLINK_V0, htons(NFNL_SUBSYS_NFTABLES)};
    NetlinkMessage message(type, 0, body);
    append(message);
  }
  void append(NetlinkMessage& message) { bytes_ += message.finish(++sequence_); }

  std::string bytes_;
  std::uint32_t sequence_ = 0;
};

/// One rule under construction: what a packet must be, then what happens to it.
class Rule {
 public:
  Rule(NetlinkMessage& message, const char* chain) : message_(message) {
    message_.add_text(NFTA_RULE_TABLE, kTable);
    message_.add_text(NFTA_RULE_CHAIN, chain);
    expressions_ = message_.begin_nested(NFTA_RULE_EXPRESSIONS);
  }

  Rule& enters(unsigned interface) { return meta_is(NFT_META_IIF, native32(interface)); }
  Rule& leaves(unsigned interface) { return meta_is(NFT_META_OIF, native32(interface)); }
  Rule& protocol(std::uint8_t number) {
    return meta_is(NFT_META_L4PROTO, std::string(1, static_cast<char>(number)));
  }
  Rule& family(std::uint8_t number) {
    return meta_is(NFT_META_NFPROTO, std::string(1, static_cast<char>(number)));
  }

  Rule& transport_is(std::uint32_t offset, const std::string& value) {
    load(NFT_PAYLOAD_TRANSPORT_HEADER, offset, value.size());
    return compare(NFT_CMP_EQ, value);
  }
  Rule& transport_between(std::uint32_t offset, const std::string& first, const std::string& last) {
    if (first == last) return transport_is(offset, first);
    load(NFT_PAYLOAD_TRANSPORT_HEADER, offset, first.size());
    return between(first, last);
  }
  Rule& network_between(std::uint32_t offset, const std::string& first, const std::string& last) {
    load(NFT_PAYLOAD_NETWORK_HEADER, offset, first.size());
    return between(first, last);
  }
  /// Belongs to a connection that is there, or tells of one.
  Rule& established() {
    expression("ct", [this] {
      message_.add_be32(NFTA_CT_DREG, NFT_REG_1);
      message_.add_be32(NFTA_CT_KEY, NFT_CT_STATE);
    });
    const std::uint32_t states = NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED);
    expression("bitwise", [&] {
      message_.add_be32(NFTA_BITWISE_SREG, NFT_REG_1);
      message_.add_be32(NFTA_BITWISE_DREG, NFT_REG_1);
      message_.add_be32(NFTA_BITWISE_LEN, sizeof states);
      data(NFTA_BITWISE_MASK, native32(states));
      data(NFTA_BITWISE_XOR, native32(0));
    });
    return compare(NFT_CMP_NEQ, native32(0));
  }

  void verdict(std::int32_t code) {
    expression("immediate", [&] {
      message_.add_be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
      const std::size_t value = message_.begin_nested(NFTA_IMMEDIATE_DATA);
      const std::size_t inner = message_.begin_nested(NFTA_DATA_VERDICT);
      message_.add_be32(NFTA_VERDICT_CODE, static_cast<std::uint32_t>(code));
      message_.end_nested(inner);
      message_.end_nested(value);
    });
    message_.end_nested(expressions_);
  }
  void redirect(std::uint16_t port) {
    expression("immediate", [&] {
      message_.add_be32(NFTA_IMMEDIATE_DREG, NFT_REG_1);
      data(NFTA_IMMEDIATE_DATA, be16(port));
    });
    expression("redir", [&] { message_.add_be32(NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1); });
    message_.end_nested(expressions_);
  }

 private:
  template <typename Fill>
  void expression(const char* name, Fill fill) {
    const std::size_t element = message_.begin_nested(NFTA_LIST_ELEM);
    message_.add_text(NFTA_EXPR_NAME, name);
    const std::size_t content = message_.begin_nested(NFTA_EXPR_DATA);
    fill();
    message_.end_nested(content);
    message_.end_nested(element);
  }
  void data(std::uint16_t type, std::string_view value) {
    const std::size_t begun = message_.begin_nested(type);
    message_.add(NFTA_DATA_VALUE, value);
    message_.end_nested(begun);
  }
  Rule& meta_is(std::uint32_t key, const std::string& value) {
    expression("meta", [&] {
      message_.add_be32(NFTA_META_DREG, NFT_REG_1);
      message_.add_be32(NFTA_META_KEY, key);
    });
    return compare(NFT_CMP_EQ, value);
  }
  void load(std::uint32_t base, std::uint32_t offset, std::size_t size) {
    expression("payload", [&] {
      message_.add_be32(NFTA_PAYLOAD_DREG, NFT_REG_1);
      message_.add_be32(NFTA_PAYLOAD_BASE, base);
      message_.add_be32(NFTA_PAYLOAD_OFFSET, offset);
      message_.add_be32(NFTA_PAYLOAD_LEN, static_cast<std::uint32_t>(size));
    });
  }
  Rule& compare(std::uint32_t operation, std::string_view value) {
    expression("cmp", [&] {
      message_.add_be32(NFTA_CMP_SREG, NFT_REG_1);
      message_.add_be32(NFTA_CMP_OP, operation);
      data(NFTA_CMP_DATA, value);
    });
    return *this;
  }
  Rule& between(const std::string& first, const std::string& last) {
    expression("range", [&] {
      message_.add_be32(NFTA_RANGE_SREG, NFT_REG_1);
      message_.add_be32(NFTA_RANGE_OP, NFT_RANGE_EQ);
      data(NFTA_RANGE_FROM_DATA, first);
      data(NFTA_RANGE_TO_DATA, last);
    });
    return *this;
  }

  NetlinkMessage& message_;
  std::size_t expressions_ = 0;
};

constexpr const char* kInput = "input";
constexpr const char* kOutput = "output";
constexpr const char* kForward = "forward";
constexpr const char* kPrerouting = "prerouting";

void add_table(Batch& batch, std::uint16_t type, std::uint16_t flags) {
  batch.add(type, flags, [](NetlinkMessage& message) { message.add_text(NFTA_TABLE_NAME, kTable); });
}

void add_chain(Batch& batch, const char* name, const char* type, std::uint32_t hook, std::int32_t priority) {
  batch.add(NFT_MSG_NEWCHAIN, NLM_F_CREATE, [&](NetlinkMessage& message) {
    message.add_text(NFTA_CHAIN_TABLE, kTable);
    message.add_text(NFTA_CHAIN_NAME, name);
    const std::size_t begun = message.begin_nested(NFTA_CHAIN_HOOK);
    message.add_be32(NFTA_HOOK_HOOKNUM, hook);
    message.add_be32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(priority));
    message.end_nested(begun);
    message.add_be32(NFTA_CHAIN_POLICY, NF_ACCEPT);
    message.add_text(NFTA_CHAIN_TYPE, type);
  });
}

/// Behind all rules before it; the last message of a transaction asks for the answer.
template <typename Fill>
void add_rule(Batch& batch, const char* chain, Fill fill, std::uint16_t flags = 0) {
  batch.add(NFT_MSG_NEWRULE, static_cast<std::uint16_t>(NLM_F_CREATE | NLM_F_APPEND | flags),
            [&](NetlinkMessage& message) {
              Rule rule(message, chain);
              fill(rule);
            });
}

/// Without it a neighbour that speaks IPv6 is not found; ARP passes as well.
void add_neighbour_discovery(Batch& batch, const CardPolicy& card) {
  for (const std::uint8_t type : {ND_NEIGHBOR_SOLICIT, ND_NEIGHBOR_ADVERT}) {
    const std::string value(1, static_cast<char>(type));
    add_rule(batch, kInput, [&](Rule& rule) {
      rule.enters(card.interface).protocol(IPPROTO_ICMPV6).transport_is(kIcmpType, value).verdict(NF_ACCEPT);
    });
    add_rule(batch, kOutput, [&](Rule& rule) {
      rule.leaves(card.interface).protocol(IPPROTO_ICMPV6).transport_is(kIcmpType, value).verdict(NF_ACCEPT);
    });
  }
}

void add_dhcp(Batch& batch, const CardPolicy& card) {
  add_rule(batch, kInput, [&](Rule& rule) {
    rule.enters(card.interface).protocol(IPPROTO_UDP).transport_is(kSourcePort, be16(kDhcpServer));
    rule.transport_is(kDestinationPort, be16(kDhcpClient)).verdict(NF_ACCEPT);
  });
  add_rule(batch, kOutput, [&](Rule& rule) {
    rule.leaves(card.interface).protocol(IPPROTO_UDP).transport_is(kSourcePort, be16(kDhcpClient));
    rule.transport_is(kDestinationPort, be16(kDhcpServer)).verdict(NF_ACCEPT);
  });
}

void add_ping(Batch& batch, const CardPolicy& card) {
  struct Echo {
    std::uint8_t protocol;
    std::uint8_t type;
  };
  for (const Echo echo : {Echo{IPPROTO_ICMP, ICMP_ECHO}, Echo{IPPROTO_ICMPV6, ICMP6_ECHO_REQUEST}}) {
    const std::string type(1, static_cast<char>(echo.type));
    add_rule(batch, kInput, [&](Rule& rule) {
      rule.enters(card.interface).protocol(echo.protocol).transport_is(kIcmpType, type).verdict(NF_ACCEPT);
    });
  }
}

/// In network byte order.
std::string bytes_of(const config::IpAddress& address) {
  return address.is_v4() ? address.data.substr(address.data.size() - 4) : address.data;
}

void add_trusted(Batch& batch, const CardPolicy& card) {
  for (const config::IpRange& pool : card.trusted) {
    const bool v4 = pool.first.is_v4();
    add_rule(batch, kInput, [&](Rule& rule) {
      rule.enters(card.interface).family(v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
      rule.network_between(v4 ? kIpv4Source : kIpv6Source, bytes_of(pool.first), bytes_of(pool.last));
      rule.verdict(NF_ACCEPT);
    });
  }
}

void add_ports(Batch& batch, const CardPolicy& card) {
  for (const OpenPorts& open : card.ports) {
    add_rule(batch, kInput, [&](Rule& rule) {
      rule.enters(card.interface).protocol(static_cast<std::uint8_t>(open.protocol));
      rule.transport_between(kDestinationPort, be16(open.ports.first), be16(open.ports.last));
      rule.verdict(NF_ACCEPT);
    });
  }
}

void add_redirects(Batch& batch, const CardPolicy& card) {
  for (const Redirect& redirect : card.redirects) {
    add_rule(batch, kPrerouting, [&](Rule& rule) {
      rule.enters(card.interface).protocol(static_cast<std::uint8_t>(redirect.protocol));
      rule.transport_is(kDestinationPort, be16(redirect.from)).redirect(redirect.to);
    });
  }
}

void add_card(Batch& batch, const CardPolicy& card, bool last) {
  add_redirects(batch, card);
  if (!card.everything) {
    add_neighbour_discovery(batch, card);
    if (card.dhcp) add_dhcp(batch, card);
    if (card.ping) add_ping(batch, card);
    add_trusted(batch, card);
    add_ports(batch, card);
  }
  if (card.outbound && !card.everything) {
    add_rule(batch, kInput,
             [&](Rule& rule) { rule.enters(card.interface).established().verdict(NF_ACCEPT); });
  }
  const std::int32_t in = card.everything ? NF_ACCEPT : NF_DROP;
  const std::int32_t out = card.everything || card.outbound ? NF_ACCEPT : NF_DROP;
  add_rule(batch, kInput, [&](Rule& rule) { rule.enters(card.interface).verdict(in); });
  if (!card.everything) {
    add_rule(batch, kForward, [&](Rule& rule) { rule.enters(card.interface).verdict(NF_DROP); });
    add_rule(batch, kForward, [&](Rule& rule) { rule.leaves(card.interface).verdict(NF_DROP); });
  }
  add_rule(
      batch, kOutput, [&](Rule& rule) { rule.leaves(card.interface).verdict(out); }, last ? NLM_F_ACK : 0);
}

}  // namespace

Transaction make_transaction(const std::vector<CardPolicy>& policies) {
  Batch batch;
  // Made first, so that there is one to remove.
  add_table(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
  add_table(batch, NFT_MSG_DELTABLE, policies.empty() ? NLM_F_ACK : 0);
  if (policies.empty()) return std::move(batch).finish();
  add_table(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
  add_chain(batch, kInput, "filter", NF_INET_LOCAL_IN, 0);
  add_chain(batch, kOutput, "filter", NF_INET_LOCAL_OUT, 0);
  add_chain(batch, kForward, "filter", NF_INET_FORWARD, 0);
  const bool redirects = std::any_of(policies.begin(), policies.end(),
                                     [](const CardPolicy& card) { return !card.redirects.empty(); });
  if (redirects) add_chain(batch, kPrerouting, "nat", NF_INET_PRE_ROUTING, kDestinationNat);
  for (const CardPolicy& card : policies) add_card(batch, card, &card == &policies.back());
  return std::move(batch).finish();
}

void commit(const Transaction& transaction) {
  constexpr std::string_view kDoing = "set the firewall's rules";
  // One of its own: answers that nobody waits for go with it.
  os::NetlinkSocket socket(NETLINK_NETFILTER);
  socket.send(transaction.messages, kDoing);
  const int failure = socket.receive_errors(transaction.first_sequence, transaction.last_sequence, kDoing);
  if (failure != 0) throw errno_error(kDoing, failure);
}

}  // namespace berth::tether::firewall
