#pragma once

#include <array>
#include <cstdint>

namespace berth::record {

/// PRAGMA application_id of a record database: "brth".
inline constexpr std::int64_t kApplicationId = 0x62727468;

/// kMigrations[n] takes a database from PRAGMA user_version n to n + 1. Never change one that was released.
inline constexpr std::array kMigrations{
    R"sql(
      CREATE TABLE pods(
        serial     INTEGER PRIMARY KEY AUTOINCREMENT,
        id         TEXT NOT NULL UNIQUE,
        name       TEXT NOT NULL UNIQUE,
        generation INTEGER NOT NULL,
        intent     TEXT NOT NULL,
        user_slot  INTEGER NOT NULL UNIQUE
      ) STRICT;
      CREATE TABLE pairs(
        pod   INTEGER NOT NULL REFERENCES pods(serial) ON DELETE CASCADE,
        key   TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY(pod, key)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE ports(
        pod      INTEGER NOT NULL REFERENCES pods(serial) ON DELETE CASCADE,
        protocol TEXT NOT NULL,
        port     INTEGER NOT NULL,
        address  TEXT NOT NULL,
        PRIMARY KEY(protocol, port, address)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX ports_of_pod ON ports(pod);
    )sql",
    R"sql(
      CREATE TABLE volumes(
        serial    INTEGER PRIMARY KEY AUTOINCREMENT,
        id        TEXT NOT NULL UNIQUE,
        name      TEXT NOT NULL UNIQUE,
        anonymous INTEGER NOT NULL,
        created   INTEGER NOT NULL,
        size      INTEGER NOT NULL,
        intent    TEXT NOT NULL
      ) STRICT;
      CREATE TABLE volume_labels(
        volume INTEGER NOT NULL REFERENCES volumes(serial) ON DELETE CASCADE,
        key    TEXT NOT NULL,
        value  TEXT NOT NULL,
        PRIMARY KEY(volume, key)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE volume_uses(
        volume INTEGER NOT NULL REFERENCES volumes(serial),
        pod    INTEGER NOT NULL REFERENCES pods(serial) ON DELETE CASCADE,
        owned  INTEGER NOT NULL,
        PRIMARY KEY(volume, pod)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX volumes_of_pod ON volume_uses(pod);
    )sql",
    R"sql(
      CREATE TABLE volume_options(
        volume INTEGER NOT NULL REFERENCES volumes(serial) ON DELETE CASCADE,
        key    TEXT NOT NULL,
        value  TEXT NOT NULL,
        PRIMARY KEY(volume, key)
      ) STRICT, WITHOUT ROWID;
    )sql",
    R"sql(
      CREATE TABLE disk_layers(
        serial    INTEGER PRIMARY KEY AUTOINCREMENT,
        id        TEXT NOT NULL UNIQUE,
        parent    INTEGER REFERENCES disk_layers(serial),
        format    TEXT NOT NULL,
        size      INTEGER NOT NULL,
        read_only INTEGER NOT NULL,
        intent    TEXT NOT NULL
      ) STRICT;
      CREATE INDEX layers_above ON disk_layers(parent);
      CREATE INDEX layers_left ON disk_layers(serial) WHERE intent = 'remove';
      CREATE TABLE disk_uses(
        user  TEXT PRIMARY KEY,
        layer INTEGER NOT NULL REFERENCES disk_layers(serial),
        next  INTEGER REFERENCES disk_layers(serial)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX users_of_layer ON disk_uses(layer);
      CREATE INDEX users_of_next ON disk_uses(next);
    )sql",
};

}  // namespace berth::record
