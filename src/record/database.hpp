#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace berth::record {

/// One connection to the record database, for one thread. Durable (WAL, synchronous=FULL), waits at most
/// kBusyLimit for other processes, and has the newest schema once it is open (docs/store.md).
class Database {
 public:
  static constexpr std::chrono::milliseconds kBusyLimit{10'000};

  /// Opens the file, making it (mode 0600) and its folder when they are missing.
  /// Throws unsupported when a newer berth has written it, corrupt when it is not a record database,
  /// invalid-argument when it belongs to another user, unavailable when it cannot be written.
  explicit Database(std::filesystem::path path);

  /// Throws the Error that fits the last failure of this connection.
  [[noreturn]] void fail(int result) const;
  void execute(const char* sql);
  /// Whether a commit that returned survives a power cut; at first it does.
  void set_synced(bool synced) noexcept;
  /// Rows changed by the last insert, update or delete.
  int changes() const { return sqlite3_changes(handle_.get()); }
  std::int64_t last_insert_rowid() const { return sqlite3_last_insert_rowid(handle_.get()); }
  sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };

  void make_file();
  void open();
  std::int64_t pragma(const char* sql);
  bool is_set_up();
  void set_up();

  std::filesystem::path path_;
  std::unique_ptr<sqlite3, Close> handle_;
};

/// A prepared statement. Texts given to bind must live until the next reset.
class Statement {
 public:
  Statement(Database& database, const char* sql);

  /// Makes the statement ready for new values.
  Statement& reset();
  /// Parameters are numbered from 1.
  Statement& bind(int parameter, std::string_view text);
  Statement& bind(int parameter, std::int64_t number);
  /// True when there is a row.
  bool step();
  /// Columns are numbered from 0; the text is valid until the next step or reset.
  std::string_view text(int column) const;
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };

  Database& database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// Resets a statement at the end of a scope, so that it holds no read transaction open.
class Query {
 public:
  explicit Query(Statement& statement) : statement_(statement.reset()) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query() { statement_.reset(); }

  template <typename... Values>
  Query& with(const Values&... values) {
    int parameter = 0;
    (statement_.bind(++parameter, values), ...);
    return *this;
  }
  bool step() { return statement_.step(); }
  void run() { statement_.step(); }
  const Statement* operator->() const { return &statement_; }

 private:
  Statement& statement_;
};

/// Rolled back unless committed.
class Transaction {
 public:
  enum class Kind { read, write };

  /// A writing one has the database's only write lock from the start, so that it never meets a conflict
  /// later.
  Transaction(Database& database, Kind kind);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void commit();

 private:
  Database& database_;
};

}  // namespace berth::record
