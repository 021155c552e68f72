#include "nn/train/ranks.h"

#include <ATen/ATen.h>

#include <optional>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <utility>
#include <vector>

#include "nn/guarded.h"
#include "nn/train/ranks_nccl.h"

namespace genflow::nn::train {
namespace {

// Processes on one machine: Gloo through its loopback interface, and for tensors on GPUs NCCL.
class Group final : public Ranks {
 public:
  explicit Group(const RankOptions& options) : Ranks(options.rank, options.size) {
    auto store = c10::make_intrusive<c10d::FileStore>(options.rendezvous.string(), options.size);
    store->setTimeout(options.timeout);
    auto settings = c10d::ProcessGroupGloo::Options::create(options.timeout);
    settings->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
    gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store, options.rank, options.size, settings);
    if (!options.device.is_cuda()) return;
    nccl_.emplace(options.rank, options.size, options.device, options.timeout, [&](const std::string& text) {
      if (options.rank == 0) store->set("nccl", {text.begin(), text.end()});
      const auto bytes = store->get("nccl");
      return std::string(bytes.begin(), bytes.end());
    });
  }

  // Both add up in rings: which process adds what to what follows from the sizes.
  void StartSum(const at::Tensor& values) override {
    Checked([&] {
      if (values.is_cuda()) return nccl_->StartSum(values);
      std::vector<at::Tensor> tensors = {values};
      started_.push_back(gloo_->allreduce(tensors));
    });
  }

  void Wait() override {
    Checked([&] {
      for (const auto& work : std::exchange(started_, {})) work->wait();
      if (nccl_) nccl_->Wait();
    });
  }

  void Broadcast(const at::Tensor& values) override {
    Checked([&] {
      if (values.is_cuda()) return nccl_->Broadcast(values);
      std::vector<at::Tensor> tensors = {values};
      gloo_->broadcast(tensors)->wait();
    });
  }

 private:
  template <class Work>
  static void Checked(const Work& work) {
    try {
      work();
    } catch (const std::exception& exception) {
      throw RankLost("another process has ended, or does not answer: " +
                     TorchError("adding up", exception).message);
    }
  }

  c10::intrusive_ptr<c10d::Backend> gloo_;
  std::vector<c10::intrusive_ptr<c10d::Work>> started_;
  std::optional<Nccl> nccl_;
};

}  // namespace

Result<std::unique_ptr<Ranks>> ConnectRanks(const RankOptions& options) {
  return Guarded("meeting the other processes", [&]() -> Result<std::unique_ptr<Ranks>> {
    return std::unique_ptr<Ranks>(std::make_unique<Group>(options));
  });
}

}  // namespace genflow::nn::train
