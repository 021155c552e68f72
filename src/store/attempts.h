// Rows of stage attempts, written by runs.cc, commit.cc and cache.cc.
#pragma once

#include "store/impl.h"
#include "store/records.h"

// SQL: the place of one more run, after all that the store knows.
#define GENFLOW_NEXT_SEQ "(SELECT ifnull(max(seq), 0) + 1 FROM runs)"

namespace genflow {

// Store::RunHiddenBy.
Result<std::string> FindRunHiddenBy(StoreImpl& store, const std::string& tag);

// The caller has begun a transaction.
Result<int64_t> InsertAttempt(StoreImpl& store, const AttemptStart& start, double now);
Status EndAttempt(Db& db, int64_t attempt, const AttemptEnd& end, double now);

}  // namespace genflow
