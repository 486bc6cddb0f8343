// Debian's libssh.a refers to the Kerberos library, which exists as a shared library only. The tether never
// offers GSSAPI, so these are never called; each answers GSS_S_FAILURE (RFC 2744, 3.9.1).

namespace {
constexpr unsigned kFailure = 13u << 16;
}  // namespace

extern "C" {

void* GSS_C_NT_HOSTBASED_SERVICE = nullptr;
void* GSS_C_NT_USER_NAME = nullptr;

unsigned gss_accept_sec_context() {
  return kFailure;
}
unsigned gss_acquire_cred() {
  return kFailure;
}
unsigned gss_add_oid_set_member() {
  return kFailure;
}
unsigned gss_create_empty_oid_set() {
  return kFailure;
}
unsigned gss_display_name() {
  return kFailure;
}
unsigned gss_display_status() {
  return kFailure;
}
unsigned gss_get_mic() {
  return kFailure;
}
unsigned gss_import_name() {
  return kFailure;
}
unsigned gss_indicate_mechs() {
  return kFailure;
}
unsigned gss_init_sec_context() {
  return kFailure;
}
unsigned gss_inquire_cred() {
  return kFailure;
}
unsigned gss_inquire_cred_by_mech() {
  return kFailure;
}
unsigned gss_release_buffer() {
  return kFailure;
}
unsigned gss_release_cred() {
  return kFailure;
}
unsigned gss_release_name() {
  return kFailure;
}
unsigned gss_release_oid_set() {
  return kFailure;
}
unsigned gss_test_oid_set_member() {
  return kFailure;
}
unsigned gss_verify_mic() {
  return kFailure;
}

}  // extern "C"
