// The tables of store.db and how an older store is brought up to date.
#pragma once

#include "base/result.h"
#include "store/db.h"

namespace genflow {

inline constexpr int kApplicationId = 0x67666c77;  // "gflw"
inline constexpr int kSchemaVersion = 4;

enum class SchemaState {
  kCurrent,
  kOlder,  // UpgradeSchema makes it current
  kEmpty,  // no table at all
};

// kUnsupported for a store of a newer genflow, kInvalid for a database of another program.
Result<SchemaState> CheckSchema(Db& db, const std::string& name);

// Creates the tables in an empty database, or applies the missing migrations in an older one. The caller
// has begun a transaction.
Status UpgradeSchema(Db& db);

}  // namespace genflow
