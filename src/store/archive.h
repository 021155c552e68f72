// What `runs export` writes and `runs import` reads: a tar archive of
//
//   genflow-export.json                   the manifest: every row, and the listing of every object
//   genflow-export.sha256                 its SHA-256
//   objects/<aa>/<digest>/data[/...]      the objects, in the order of the manifest, their files as listed
//   logs/<run>/<stage>.<attempt>.log      logs, in the order of the manifest
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/objects.h"
#include "store/records.h"
#include "store/tar.h"

namespace genflow {

inline constexpr char kManifestName[] = "genflow-export.json";
inline constexpr char kManifestSumName[] = "genflow-export.sha256";

struct StageMetric {
  std::string stage;
  MetricPoint point;
};

struct ArchivedLog {
  std::string stage;
  int attempt = 1;
  uint64_t bytes = 0;
  std::string sha256;
};

struct ArchivedRun {
  RunInfo run;                        // not running
  std::vector<AttemptInfo> attempts;  // with the components of their keys; of outputs port, digest and type
  std::vector<StageMetric> metrics;   // those of cached stages, too
  std::vector<ArchivedLog> logs;
};

struct ArchivedKey {
  std::string key, run, stage, summary;
  double seconds = 0, created = 0;
  std::vector<OutputRow> outputs;  // all of them objects of the archive
};

struct RunArchive {
  std::vector<ArchivedRun> runs;
  std::vector<Sidecar> objects;  // by digest
  std::vector<Artifact> lost;    // artifacts without an object
  std::vector<ArchivedKey> keys;
};

std::string ArchiveToJson(const RunArchive& archive);
// kCorrupt for what cannot be a manifest: also where a path would lead out of its object, or what runs made
// is not in the archive. kUnsupported for one of a newer genflow.
Result<RunArchive> ArchiveFromJson(std::string_view text);

// Name of an object's entry in the archive.
std::string ObjectEntryName(const std::string& digest, const TreeEntry& entry);

}  // namespace genflow
