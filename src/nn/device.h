// Where tensors live and in which number format: the user's words made into ATen's.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace genflow::nn {

// "auto", "cpu", "cuda" or "cuda:N". The CUDA half of libtorch is opened at run time, beside
// libtorch_cpu.so, when it is asked for; "auto" asks only where an NVIDIA driver is on the machine, and
// falls back to the CPU where CUDA does not come up, which `why_not_cuda` then tells (may be null). Safe to
// call more than once.
Result<at::Device> ResolveDevice(std::string_view name, std::string* why_not_cuda = nullptr);

// Whether this CPU has instructions that multiply bf16 (AVX512_BF16, AMX).
bool MultipliesBf16();

// "auto", "fp32" or "bf16". "auto" is bf16 on CUDA and on CPUs that multiply bf16 in hardware
// (AVX512_BF16, AMX), else fp32.
Result<at::ScalarType> ResolveDtype(std::string_view name, at::Device device);

// "fp32", "bf16", "fp16"; other types by ATen's name.
std::string DtypeName(at::ScalarType dtype);

// Number of threads of one operation; 0 keeps libtorch's default. Call before the first operation.
void SetThreads(int threads);

}  // namespace genflow::nn
