// Objects: objects/<aa>/<digest>/ with `data` (a file or folder) and `object.json` (the sidecar, from which
// the rows can be rebuilt).
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "store/impl.h"
#include "store/records.h"
#include "store/tree.h"

namespace genflow {

struct OutputRow {
  std::string port, digest, type;
};

struct Sidecar {
  std::string digest, type;
  double created = 0;
  std::string key, pipeline, run, stage, uses, port;
  int attempt = 1;
  bool cached = true;                                     // the key leads to the outputs
  std::shared_ptr<const std::vector<OutputRow>> outputs;  // all of the attempt, in order; not null
  TreeListing listing;                                    // fingerprints unknown
};

std::filesystem::path ObjectFolder(const StoreImpl& store, const std::string& digest);
std::filesystem::path ObjectData(const StoreImpl& store, const std::string& digest);

std::string SidecarToJson(const Sidecar& sidecar);
// kCorrupt when it is not a sidecar, or not one of `digest`. `where` names the text in messages.
Result<Sidecar> ParseSidecar(std::string_view text, const std::filesystem::path& where,
                             const std::string& digest);
Result<Sidecar> ReadSidecar(const std::filesystem::path& object_folder, const std::string& digest);
// Digests of all folders in objects/, sorted; what does not belong there goes to `foreign`.
Result<std::vector<std::string>> ObjectsOnDisk(const StoreImpl& store, std::vector<std::string>* foreign);

// What the sidecar of a registered object must say.
Result<Sidecar> SidecarFromRows(StoreImpl& store, const std::string& digest);

// Columns that RowToArtifact expects, of table alias `a`.
#define GENFLOW_ARTIFACT_COLUMNS \
  "a.digest, a.type, a.is_tree, a.bytes, a.files, a.created, a.lost, a.key, a.run, a.stage, a.port"
Artifact RowToArtifact(const StoreImpl& store, const Statement& row, int first_column);
Result<std::optional<Artifact>> FindArtifact(StoreImpl& store, const std::string& digest);

// Rows; the caller has begun a transaction.
Status SaveArtifact(StoreImpl& store, const Sidecar& sidecar, bool replace_listing);
Status SavePrints(StoreImpl& store, const std::string& digest, const TreeListing& listing);
Result<TreeListing> LoadListing(StoreImpl& store, const std::string& digest);

// Whether a registered object still holds what was recorded; the problem as a sentence, or "". A damaged
// object is quarantined (unless the store is read-only), a stale fingerprint renewed.
Result<std::string> VerifyObject(StoreImpl& store, const std::string& digest);

// Moves the object to quarantine/ if it is (still) damaged, marks its row lost, drops cache rows that lead
// to it. Takes the objects lock alone. True when it did.
Result<bool> QuarantineObject(StoreImpl& store, const std::string& digest, CheckDepth depth);

// Renames a finished, synced object folder into objects/. The folders that the caller must sync before the
// row is committed are added to `changed`. An object already there is compared with
// `listing` and stays if whole (its fingerprints then stand in `listing`); a damaged one is set aside.
// The caller holds the objects lock shared. True: ours went in.
Result<bool> InstallObject(StoreImpl& store, const std::filesystem::path& folder, const std::string& digest,
                           TreeListing& listing, std::set<std::filesystem::path>& changed);

// Moves an object folder to quarantine/. A missing one is success. The caller holds the objects lock.
Status SetObjectAside(StoreImpl& store, const std::string& digest);

// Registers objects on disk from their sidecars, with the runs and cache rows that follow; the caller has
// begun a transaction. Returns how many, and adds a sentence to `problems` for each object without a usable
// sidecar.
Result<int64_t> RegisterFromSidecars(StoreImpl& store, const std::vector<std::string>& digests,
                                     std::vector<std::string>* problems);

}  // namespace genflow
