#include "nn/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "base/strings.h"
#include "nn/guarded.h"

namespace genflow::nn {
namespace {

constexpr char kDeviceHint[] = "use auto, cpu, cuda or cuda:N";

// As cmake/fetch_deps.py, which fetches the CUDA libraries where there is one.
bool HasDriver() {
  for (int i = 0; i < 64; ++i) {
    if (access(("/dev/nvidia" + std::to_string(i)).c_str(), F_OK) == 0) return true;
  }
  return false;
}

// The user, or the engine, gives this process no GPU.
bool IsHidden() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible != nullptr && *visible == '\0';
}

// Opens libtorch_cuda.so from the folder of libtorch_cpu.so. Must run before libtorch first looks for CUDA,
// because it remembers what it finds. The empty string is success, else what the loader says.
std::string OpenCuda() {
  static std::once_flag once;
  static std::string problem;
  std::call_once(once, [] {
    Dl_info info{};
    if (dladdr(reinterpret_cast<void*>(&at::globalContext), &info) == 0 || info.dli_fname == nullptr) {
      problem = "the folder of libtorch_cpu.so is unknown";
      return;
    }
    // Without it cuBLAS sums in an order that changes from run to run.
    ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    const auto path = std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
      const char* text = dlerror();
      problem = text != nullptr ? text : "unknown error";
    }
  });
  return problem;
}

Result<at::Device> ResolveCuda(std::string_view name, int index) {
  const std::string quoted = "device '" + std::string(name) + "'";
  if (!HasDriver()) {
    return MakeError(Code::kUnsupported,
                     quoted + " needs an NVIDIA driver, and this machine has none (no /dev/nvidia*)",
                     "use device cpu, or auto, which takes a GPU where there is one");
  }
  if (const std::string problem = OpenCuda(); !problem.empty()) {
    return MakeError(Code::kUnsupported,
                     quoted + " needs the CUDA half of libtorch, which did not open: " + problem,
                     "build genflow on this machine, which fetches the CUDA libraries, or use device cpu");
  }
  return Guarded("opening " + quoted, [&]() -> Result<at::Device> {
    const auto count = static_cast<int>(at::getNumGPUs());
    if (count == 0) {
      return MakeError(Code::kUnsupported, quoted + " was asked for, and CUDA finds no usable GPU",
                       "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use device cpu");
    }
    if (index >= count) {
      return InvalidError(quoted + " does not exist, the highest is cuda:" + std::to_string(count - 1),
                          kDeviceHint);
    }
    return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
  });
}

}  // namespace

Error TorchError(const std::string& what, const std::exception& exception) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&exception);
  std::string text = torch_error != nullptr ? torch_error->what_without_backtrace() : exception.what();
  const bool memory = dynamic_cast<const std::bad_alloc*>(&exception) != nullptr ||
                      dynamic_cast<const c10::OutOfMemoryError*>(&exception) != nullptr ||
                      text.find("can't allocate memory") != std::string::npos ||
                      text.find("out of memory") != std::string::npos;
  text = std::string(Trim(text.substr(0, text.find('\n'))));
  if (memory) {
    return MakeError(Code::kExhausted, what + " ran out of memory: " + text,
                     "use a smaller batch or shorter sequences, or bf16");
  }
  return MakeError(Code::kInternal, what + " failed in libtorch: " + text);
}

Result<at::Device> ResolveDevice(std::string_view name, std::string* why_not_cuda) {
  if (name == "cpu") return at::Device(at::kCPU);
  if (name == "auto") {
    if (HasDriver() && !IsHidden()) {
      auto device = ResolveCuda("cuda:0", 0);
      if (device.ok()) return device;
      if (why_not_cuda != nullptr) *why_not_cuda = device.error().message + "; using the CPU";
    }
    return at::Device(at::kCPU);
  }
  if (name == "cuda") return ResolveCuda(name, 0);
  if (name.starts_with("cuda:")) {
    const std::string_view digits = name.substr(5);
    int index = -1;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size() && index >= 0 && index < 64) {
      return ResolveCuda(name, index);
    }
  }
  return InvalidError("device '" + std::string(name) + "' is not known", kDeviceHint);
}

bool MultipliesBf16() {
  static const bool supported =
      __builtin_cpu_supports("avx512bf16") != 0 || __builtin_cpu_supports("amx-bf16") != 0;
  return supported;
}

Result<at::ScalarType> ResolveDtype(std::string_view name, at::Device device) {
  if (name == "fp32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  if (name == "auto") {
    if (device.is_cuda()) return at::kBFloat16;
    return MultipliesBf16() ? at::kBFloat16 : at::kFloat;
  }
  return InvalidError("number format '" + std::string(name) + "' is not known", "use auto, fp32 or bf16");
}

std::string DtypeName(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "fp32";
    case at::kBFloat16:
      return "bf16";
    case at::kHalf:
      return "fp16";
    default:
      return c10::toString(dtype);
  }
}

void SetThreads(int threads) {
  if (threads > 0) at::set_num_threads(threads);
}

}  // namespace genflow::nn
