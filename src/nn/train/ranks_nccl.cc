#include "nn/train/ranks_nccl.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace genflow::nn::train {
namespace {

// https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api.html
struct UniqueId {
  char internal[128];
};
using Comm = void*;
using Reply = int;  // 0: success
constexpr int kUint8 = 1, kFloat32 = 7, kSum = 0;

struct Library {
  Reply (*get_unique_id)(UniqueId*);
  Reply (*init_rank)(Comm*, int size, UniqueId, int rank);
  Reply (*all_reduce)(const void*, void*, size_t count, int type, int op, Comm, void* stream);
  Reply (*broadcast)(const void*, void*, size_t count, int type, int root, Comm, void* stream);
  Reply (*get_async_error)(Comm, Reply*);
  Reply (*abort)(Comm);
  const char* (*error_string)(Reply);

  Library() {
    void* handle = dlopen("libnccl.so.2", RTLD_NOW | RTLD_NOLOAD);
    TORCH_CHECK(handle != nullptr, "libnccl.so.2 was not loaded with the CUDA half of libtorch");
    Find(handle, "ncclGetUniqueId", &get_unique_id);
    Find(handle, "ncclCommInitRank", &init_rank);
    Find(handle, "ncclAllReduce", &all_reduce);
    Find(handle, "ncclBroadcast", &broadcast);
    Find(handle, "ncclCommGetAsyncError", &get_async_error);
    Find(handle, "ncclCommAbort", &abort);
    Find(handle, "ncclGetErrorString", &error_string);
  }

  void Check(Reply reply) const { TORCH_CHECK(reply == 0, "NCCL: ", error_string(reply)); }

 private:
  template <class F>
  static void Find(void* handle, const char* name, F** to) {
    *to = reinterpret_cast<F*>(dlsym(handle, name));
    TORCH_CHECK(*to != nullptr, "libnccl.so.2 has no ", name);
  }
};

}  // namespace

struct Nccl::State {
  Library library;
  c10::impl::VirtualGuardImpl guard{c10::kCUDA};
  at::Device device;
  std::chrono::milliseconds timeout;
  c10::Stream stream;  // where the sums run
  Comm comm = nullptr;
  std::vector<at::Tensor> in_flight;

  State(at::Device on, std::chrono::milliseconds limit)
      : device(on), timeout(limit), stream(guard.getStreamFromGlobalPool(on, /*isHighPriority=*/true)) {}

  // What is launched on `second` from here on waits for what is on `first` now.
  void Order(const c10::Stream& first, const c10::Stream& second) const {
    c10::Event event(c10::kCUDA);
    event.record(first);
    event.block(second);
  }
};

Nccl::Nccl(int rank, int size, at::Device device, std::chrono::milliseconds timeout,
           const std::function<std::string(const std::string&)>& share) {
  // One algorithm, so that a sum of the same numbers is the same in every run.
  ::setenv("NCCL_ALGO", "Ring", /*overwrite=*/0);
  ::setenv("NCCL_PROTO", "Simple", /*overwrite=*/0);
  state_ = std::make_unique<State>(device, timeout);
  state_->guard.setDevice(device);
  UniqueId id{};
  if (rank == 0) state_->library.Check(state_->library.get_unique_id(&id));
  const std::string shared = share(std::string(id.internal, sizeof id.internal));
  std::memcpy(id.internal, shared.data(), sizeof id.internal);
  state_->library.Check(state_->library.init_rank(&state_->comm, size, id, rank));
}

Nccl::~Nccl() {
  if (state_ && state_->comm != nullptr) state_->library.abort(state_->comm);
}

void Nccl::StartSum(const at::Tensor& values) {
  TORCH_CHECK(values.scalar_type() == at::kFloat && values.is_contiguous());
  State& s = *state_;
  s.Order(s.guard.getStream(s.device), s.stream);
  s.in_flight.push_back(values);
  void* data = values.mutable_data_ptr();
  s.library.Check(s.library.all_reduce(data, data, static_cast<size_t>(values.numel()), kFloat32, kSum,
                                       s.comm, s.stream.native_handle()));
}

void Nccl::Wait() {
  State& s = *state_;
  c10::Event done(c10::kCUDA);
  done.record(s.stream);
  const auto until = std::chrono::steady_clock::now() + s.timeout;
  while (!done.query()) {
    Reply reply = 0;
    s.library.Check(s.library.get_async_error(s.comm, &reply));
    s.library.Check(reply);
    TORCH_CHECK(std::chrono::steady_clock::now() < until, "NCCL: no answer in time");
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  s.Order(s.stream, s.guard.getStream(s.device));
  s.in_flight.clear();
}

void Nccl::Broadcast(const at::Tensor& values) {
  TORCH_CHECK(values.is_contiguous());
  State& s = *state_;
  s.Order(s.guard.getStream(s.device), s.stream);
  s.in_flight.push_back(values);
  void* data = values.mutable_data_ptr();
  s.library.Check(
      s.library.broadcast(data, data, values.nbytes(), kUint8, /*root=*/0, s.comm, s.stream.native_handle()));
  Wait();
}

}  // namespace genflow::nn::train
