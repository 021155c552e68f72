// Rows of stage attempts, written by runs.cc, commit.cc and cache.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/impl.h"
#include "store/objects.h"
#include "store/records.h"

// SQL: the place of one more run, after all that the store knows.
#define GENFLOW_NEXT_SEQ "(SELECT ifnull(max(seq), 0) + 1 FROM runs)"

namespace genflow {

// Store::RunHiddenBy.
Result<std::string> FindRunHiddenBy(StoreImpl& store, const std::string& tag);

// The caller has begun a transaction.
Result<int64_t> InsertAttempt(StoreImpl& store, const AttemptStart& start, double now);
Status EndAttempt(Db& db, int64_t attempt, const AttemptEnd& end, double now);

// What an attempt's ports, and those of a key, have had: rows in the order of the list.
Status InsertInputs(Db& db, int64_t attempt, const std::vector<InputUse>& inputs);
Status InsertOutputs(Db& db, int64_t attempt, const std::vector<OutputRow>& outputs);
Status InsertCachedOutputs(Db& db, const std::string& key, const std::vector<OutputRow>& outputs);
Result<std::vector<InputUse>> ReadInputs(Db& db, int64_t attempt);
// Of a query for port, type and GENFLOW_ARTIFACT_COLUMNS, where an artifact without a row is lost.
Result<std::vector<PortArtifact>> ReadOutputs(const StoreImpl& store, Statement& query);
std::vector<OutputRow> RowsOf(const std::vector<PortArtifact>& outputs);

}  // namespace genflow
