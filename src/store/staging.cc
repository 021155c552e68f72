#include "store/staging.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "store/hashing.h"
#include "store/impl.h"
#include "store/staging_impl.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

bool IsPortName(const std::string& port) {
  if (port.empty() || port.size() > 100 || port.front() == '.') return false;
  return std::all_of(port.begin(), port.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

Status WriteReadOnly(const fs::path& path, std::string_view bytes) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  GF_CHECK_OK(WriteAll(fd.get(), path, bytes));
  if (::fchmod(fd.get(), 0444) != 0) return ErrnoError(path.string(), errno);
  return Ok();
}

Error BadPortName(const std::string& port) {
  return InvalidError("output port name '" + port + "' must be letters, digits, '_', '-' and '.'");
}

}  // namespace

StagingImpl::~StagingImpl() {
  if (home != nullptr) home->GiveBack(folder);
}

fs::path StagingImpl::ObjectFolder(const std::string& port) const { return folder / "out" / port; }

Staging::Staging(std::unique_ptr<StagingImpl> impl) : impl_(std::move(impl)) {}
Staging::Staging(Staging&&) noexcept = default;
Staging& Staging::operator=(Staging&&) noexcept = default;
Staging::~Staging() = default;

const std::string& Staging::key() const { return impl_->key; }
const fs::path& Staging::scratch() const { return impl_->scratch; }

Result<fs::path> Staging::Output(const std::string& port) {
  if (!IsPortName(port)) return BadPortName(port);
  const fs::path folder = impl_->ObjectFolder(port);
  GF_CHECK_OK(MakeDirectories(folder));
  return folder / "data";
}

Status StagingImpl::Seal(const std::vector<OutputSpec>& specs) {
  if (sealed) return Ok();
  std::vector<SealedOutput> done;
  for (const OutputSpec& spec : specs) {
    if (!IsPortName(spec.port)) return BadPortName(spec.port);
    const fs::path data = ObjectFolder(spec.port) / "data";
    struct stat info {};
    if (::lstat(data.c_str(), &info) != 0) {
      if (errno != ENOENT) return ErrnoError(data.string(), errno);
      if (spec.optional) continue;
      return InvalidError("output '" + spec.port + "' was not written",
                          "the stage must create a file or folder at the path given for it");
    }
    SealedOutput output;
    output.spec = spec;
    GF_TRY(output.listing, ListTree(data));
    GF_CHECK_OK(HashListing(data, output.listing, HashMode::kSeal));
    output.digest = output.listing.Digest();
    done.push_back(std::move(output));
  }
  outputs = std::move(done);
  sealed = true;
  return Ok();
}

std::vector<fs::path> StagingImpl::SyncList() const {
  std::vector<fs::path> paths;
  if (synced) return paths;
  for (const SealedOutput& output : outputs) {
    const fs::path folder = ObjectFolder(output.spec.port);
    AppendSyncPaths(folder / "data", output.listing, paths);
    paths.push_back(folder / "object.json");
    paths.push_back(folder);
  }
  return paths;
}

Status StagingImpl::WriteSidecars(const Origin& from) {
  if (origin == from) return Ok();
  std::vector<OutputRow> rows;
  for (const SealedOutput& output : outputs)
    rows.push_back({output.spec.port, output.digest, output.spec.type});
  const auto shared = std::make_shared<const std::vector<OutputRow>>(std::move(rows));
  const double now = Now();
  std::vector<Sidecar> written;
  for (const SealedOutput& output : outputs) {
    Sidecar sidecar;
    sidecar.digest = output.digest;
    sidecar.type = output.spec.type;
    sidecar.created = now;
    sidecar.key = from.key;
    sidecar.pipeline = from.pipeline;
    sidecar.run = from.run;
    sidecar.stage = from.stage;
    sidecar.uses = from.uses;
    sidecar.attempt = from.attempt;
    sidecar.port = output.spec.port;
    sidecar.cached = from.cached;
    sidecar.outputs = shared;
    sidecar.listing = output.listing;
    const fs::path file = ObjectFolder(output.spec.port) / "object.json";
    (void)::unlink(file.c_str());  // one of another origin is read-only
    GF_CHECK_OK(WriteReadOnly(file, SidecarToJson(sidecar)));
    written.push_back(std::move(sidecar));
  }
  sidecars = std::move(written);
  origin = from;
  synced = false;
  return Ok();
}

Status Staging::Seal(const std::vector<OutputSpec>& outputs, const Origin& origin) {
  GF_CHECK_OK(impl_->Seal(outputs));
  return impl_->WriteSidecars(origin);
}

Status Staging::Sync(const std::vector<Staging*>& sealed) {
  std::vector<fs::path> paths;
  for (const Staging* staging : sealed) {
    const auto more = staging->impl_->SyncList();
    paths.insert(paths.end(), more.begin(), more.end());
  }
  GF_CHECK_OK(SyncPaths(paths));
  for (Staging* staging : sealed) staging->impl_->synced = true;
  return Ok();
}

}  // namespace genflow
