// The processes that train one model together, each with a copy of it and its share of every window.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "base/result.h"

namespace genflow::nn::train {

// Thrown where another process has ended or does not answer: what was being added up is lost.
struct RankLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// All processes make the same calls in the same order, each from one thread at a time. Every call may throw
// RankLost.
class Ranks {
 public:
  virtual ~Ranks() = default;
  int rank() const { return rank_; }
  int size() const { return size_; }

  // Adds up `values` (contiguous) over the processes, in place: to the same bytes in each, in an order that
  // depends on the number of processes and values alone. Returns before it is done.
  virtual void StartSum(const at::Tensor& values) = 0;
  // Until all sums that were started are there.
  virtual void Wait() = 0;
  void Sum(const at::Tensor& values) {
    StartSum(values);
    Wait();
  }
  // Gives `values` (contiguous) of process 0 to all.
  virtual void Broadcast(const at::Tensor& values) = 0;

 protected:
  Ranks(int rank, int size) : rank_(rank), size_(size) {}

 private:
  const int rank_, size_;
};

struct RankOptions {
  int rank = 0, size = 1;
  std::filesystem::path rendezvous;  // a file in a folder that all see, which no others have used
  at::Device device = at::kCPU;      // of the tensors; a GPU each
  std::chrono::milliseconds timeout =
      std::chrono::minutes(30);  // a process that is silent for longer is lost
};

// Waits until all processes have called it.
Result<std::unique_ptr<Ranks>> ConnectRanks(const RankOptions& options);

}  // namespace genflow::nn::train
