#include "record/database.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/unique_fd.hpp"
#include "record/schema.hpp"

namespace berth::record {
namespace {

constexpr std::int64_t kNewestVersion = kMigrations.size();

bool is_out_of_space(int system_error) {
  return system_error == ENOSPC || system_error == EDQUOT;
}

}  // namespace

Database::Database(std::filesystem::path path) : path_(std::move(path)) {
  make_directories(path_.parent_path());
  make_file();
  open();
  if (!is_set_up()) set_up();
}

// An existing file is looked at by name only: closing a descriptor of it would drop the POSIX locks that
// another connection of this process holds (fcntl(2)).
void Database::make_file() {
  const UniqueFd made(::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (made) return;
  if (errno != EEXIST) throw errno_error("make the record database " + path_.string());
  struct stat info;
  if (::lstat(path_.c_str(), &info) != 0) throw errno_error("look at the record database " + path_.string());
  if (!S_ISREG(info.st_mode)) {
    throw Error(Code::corrupt, "{} is not a file: the record database belongs there", path_.string());
  }
  if (info.st_uid != ::geteuid()) {
    throw Error(Code::invalid_argument,
                "the record database {} belongs to user {}, not to user {}: "
                "run berth as its owner or choose another data root",
                path_.string(), info.st_uid, ::geteuid());
  }
}

void Database::open() {
  sqlite3* handle = nullptr;
  constexpr int kFlags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW;
  const int result = sqlite3_open_v2(path_.c_str(), &handle, kFlags, nullptr);
  handle_.reset(handle);
  if (handle == nullptr)
    throw Error(Code::capacity, "no memory to open the record database {}", path_.string());
  if (result != SQLITE_OK) fail(result);
  sqlite3_busy_timeout(handle, static_cast<int>(kBusyLimit.count()));
  if (sqlite3_db_readonly(handle, "main") == 1) fail(SQLITE_READONLY);
  execute(
      "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA "
      "cell_size_check=ON;");
}

std::int64_t Database::pragma(const char* sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.integer(0) : 0;
}

bool Database::is_set_up() {
  const std::int64_t version = pragma("PRAGMA user_version");
  if (version > kNewestVersion) {
    throw Error(Code::unsupported,
                "the record database {} has version {} and this berth knows up to {}: use a newer berth",
                path_.string(), version, kNewestVersion);
  }
  const bool is_empty = version == 0 && pragma("SELECT count(*) FROM sqlite_schema") == 0;
  if (!is_empty && pragma("PRAGMA application_id") != kApplicationId) {
    throw Error(Code::corrupt, "{} is a database of some other program: choose another data root",
                path_.string());
  }
  return version == kNewestVersion;
}

void Database::set_up() {
  // Changing to WAL does not wait for others, whatever the busy limit: one process at a time gets here.
  const FileLock lock = FileLock::acquire(path_.string() + ".lock", kBusyLimit, "the record database");
  if (is_set_up()) return;
  execute("PRAGMA journal_mode=WAL");
  Transaction transaction(*this, Transaction::Kind::write);
  for (auto version = static_cast<std::size_t>(pragma("PRAGMA user_version")); version < kMigrations.size();
       ++version) {
    execute(kMigrations[version]);
  }
  execute(fmt::format("PRAGMA application_id={}; PRAGMA user_version={}", kApplicationId, kNewestVersion)
              .c_str());
  transaction.commit();
}

void Database::fail(int result) const {
  const std::string path = path_.string();
  switch (result & 0xff) {
    case SQLITE_FULL:
      throw Error(Code::capacity,
                  "no space left for the record database {}: free some disk space and try again", path);
    case SQLITE_NOMEM:
      throw Error(Code::capacity, "no memory for the record database {}", path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Error(Code::busy,
                  "the record database {} has been in use by other berth commands for {} s: try again", path,
                  kBusyLimit.count() / 1000);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      throw Error(Code::corrupt,
                  "the record database {} is damaged ({}): restore it, or move it away to start anew", path,
                  sqlite3_errmsg(handle_.get()));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      throw Error(Code::unavailable,
                  "the record database {} cannot be written: check its permissions and the file system",
                  path);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: {
      const int system_error = sqlite3_system_errno(handle_.get());
      if (is_out_of_space(system_error)) fail(SQLITE_FULL);
      throw Error(Code::unavailable, "the record database {} cannot be read or written: {}", path,
                  system_error != 0 ? errno_error("system call", system_error).message()
                                    : sqlite3_errmsg(handle_.get()));
    }
    default:
      throw Error(Code::internal, "record database {}: {}", path, sqlite3_errmsg(handle_.get()));
  }
}

void Database::execute(const char* sql) {
  const int result = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) fail(result);
}

void Database::set_synced(bool synced) noexcept {
  sqlite3_exec(handle_.get(), synced ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", nullptr,
               nullptr, nullptr);
}

Statement::Statement(Database& database, const char* sql) : database_(database) {
  sqlite3_stmt* statement = nullptr;
  const int result =
      sqlite3_prepare_v3(database.handle(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (result != SQLITE_OK) database.fail(result);
  statement_.reset(statement);
}

Statement& Statement::reset() {
  // The result repeats the last step's, which was reported then.
  sqlite3_reset(statement_.get());
  return *this;
}

Statement& Statement::bind(int parameter, std::string_view text) {
  // A null pointer would bind NULL, not an empty text.
  const char* data = text.data() != nullptr ? text.data() : "";
  const int result =
      sqlite3_bind_text64(statement_.get(), parameter, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (result != SQLITE_OK) database_.fail(result);
  return *this;
}

Statement& Statement::bind(int parameter, std::int64_t number) {
  const int result = sqlite3_bind_int64(statement_.get(), parameter, number);
  if (result != SQLITE_OK) database_.fail(result);
  return *this;
}

bool Statement::step() {
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result != SQLITE_DONE) database_.fail(result);
  return false;
}

std::string_view Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return {data != nullptr ? data : "",
          static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

Transaction::Transaction(Database& database, Kind kind) : database_(database) {
  database_.execute(kind == Kind::write ? "BEGIN IMMEDIATE" : "BEGIN");
}

Transaction::~Transaction() {
  // SQLite has already rolled back by itself after some failures, such as a full disk.
  if (sqlite3_get_autocommit(database_.handle()) == 0) {
    sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

void Transaction::commit() {
  database_.execute("COMMIT");
}

}  // namespace berth::record
