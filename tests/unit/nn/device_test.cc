#include "nn/device.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <unistd.h>

#include "fixtures.h"
#include "nn/guarded.h"

namespace genflow::nn {
namespace {

TEST(Device, CpuIsAlwaysThere) {
  const auto device = ResolveDevice("cpu");
  ASSERT_TRUE(device.ok());
  EXPECT_TRUE(device->is_cpu());
}

TEST(Device, UnknownNames) {
  for (const char* name : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CPU", ""}) {
    const auto device = ResolveDevice(name);
    ASSERT_FALSE(device.ok()) << name;
    EXPECT_EQ(device.error().code, Code::kInvalid);
    EXPECT_EQ(device.error().ToString(),
              "device '" + std::string(name) + "' is not known\n  hint: use auto, cpu, cuda or cuda:N");
  }
}

TEST(Device, CudaWithoutADriver) {
  if (ResolveDevice("cuda").ok() || access("/dev/nvidia0", F_OK) == 0)
    GTEST_SKIP() << "this machine has an NVIDIA driver";
  for (const char* name : {"cuda", "cuda:3"}) {
    const auto device = ResolveDevice(name);
    ASSERT_FALSE(device.ok());
    EXPECT_EQ(device.error().code, Code::kUnsupported);
    EXPECT_EQ(device.error().ToString(),
              "device '" + std::string(name) +
                  "' needs an NVIDIA driver, and this machine has none (no /dev/nvidia*)\n"
                  "  hint: use device cpu, or auto, which takes a GPU where there is one");
  }
  const auto automatic = ResolveDevice("auto");
  ASSERT_TRUE(automatic.ok());
  EXPECT_TRUE(automatic->is_cpu());
}

TEST(Dtype, Names) {
  EXPECT_EQ(*ResolveDtype("fp32", at::kCPU), at::kFloat);
  EXPECT_EQ(*ResolveDtype("bf16", at::kCPU), at::kBFloat16);
  EXPECT_EQ(*ResolveDtype("auto", at::Device(at::kCUDA, 0)), at::kBFloat16);
  const bool bf16 = __builtin_cpu_supports("avx512bf16") || __builtin_cpu_supports("amx-bf16");
  EXPECT_EQ(*ResolveDtype("auto", at::kCPU), bf16 ? at::kBFloat16 : at::kFloat);
  const auto unknown = ResolveDtype("fp8", at::kCPU);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().ToString(), "number format 'fp8' is not known\n  hint: use auto, fp32 or bf16");
  EXPECT_EQ(DtypeName(at::kFloat), "fp32");
  EXPECT_EQ(DtypeName(at::kBFloat16), "bf16");
  EXPECT_EQ(DtypeName(at::kHalf), "fp16");
  EXPECT_EQ(DtypeName(at::kLong), "Long");
}

TEST(Threads, AreSetUnlessZero) {
  const int before = at::get_num_threads();
  SetThreads(1);
  EXPECT_EQ(at::get_num_threads(), 1);
  SetThreads(0);
  EXPECT_EQ(at::get_num_threads(), 1);
  SetThreads(before);
}

TEST(Guarded, LackOfMemoryIsExhausted) {
  const Status status = Guarded("the training step", []() -> Status {
    at::empty({int64_t{1} << 60}, at::kFloat);
    return Ok();
  });
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kExhausted);
  EXPECT_EQ(status.error().message.find("the training step ran out of memory: "), 0u)
      << status.error().message;
  EXPECT_EQ(status.error().hint, "use a smaller batch or shorter sequences, or bf16");
}

TEST(Guarded, OtherFailuresAreInternal) {
  const Status status = Guarded("scoring", []() -> Status {
    at::matmul(at::zeros({2, 3}), at::zeros({4, 5}));
    return Ok();
  });
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kInternal);
  EXPECT_EQ(status.error().message,
            "scoring failed in libtorch: mm: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)");
}

}  // namespace
}  // namespace genflow::nn
