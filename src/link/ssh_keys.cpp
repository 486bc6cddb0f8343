#include <libssh/libssh.h>

#include <memory>

#include "base/error.hpp"
#include "link/ssh.hpp"

namespace berth::link::ssh {
namespace {

struct FreeString {
  void operator()(char* text) const { ssh_string_free_char(text); }
};

}  // namespace

KeyPair generate_key() {
  ssh_key key = nullptr;
  if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) != SSH_OK)
    throw Error(Code::internal, "cannot make an SSH key");
  const std::unique_ptr<ssh_key_struct, decltype(&ssh_key_free)> owned(key, &ssh_key_free);
  char* private_text = nullptr;
  char* public_text = nullptr;
  if (ssh_pki_export_privkey_base64(key, nullptr, nullptr, nullptr, &private_text) != SSH_OK ||
      ssh_pki_export_pubkey_base64(key, &public_text) != SSH_OK) {
    ssh_string_free_char(private_text);
    throw Error(Code::internal, "cannot export an SSH key");
  }
  const std::unique_ptr<char, FreeString> owned_private(private_text);
  const std::unique_ptr<char, FreeString> owned_public(public_text);
  return {private_text, std::string("ssh-ed25519 ") + public_text};
}

}  // namespace berth::link::ssh
