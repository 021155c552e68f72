// Sums between GPUs of one machine, by NCCL.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace genflow::nn::train {

// NCCL through its C interface, from the library that libtorch_cuda.so has loaded, on a stream of its own.
// What c10d has for it can be had only by linking CUDA's half of libtorch, which is opened at run time
// (device.h). Throws c10::Error, also where a sum does not come within `timeout`; nothing more can be done
// with it then.
class Nccl {
 public:
  // `share` gives all processes the text of process 0.
  Nccl(int rank, int size, at::Device device, std::chrono::milliseconds timeout,
       const std::function<std::string(const std::string&)>& share);
  ~Nccl();

  // In place, after what was launched on the current stream before; fp32.
  void StartSum(const at::Tensor& values);
  // Until all sums that were started are there.
  void Wait();
  // Any type.
  void Broadcast(const at::Tensor& values);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace genflow::nn::train
