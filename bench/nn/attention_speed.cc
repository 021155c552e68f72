// Times attention's forward and backward pass beside libtorch's own, on SmolLM2-135M's shape (9 heads of 64,
// 3 of keys). Usage: attention_speed fp32|bf16 THREADS SEQUENCES LENGTH
#include <ATen/ATen.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "nn/device.h"
#include "nn/flash_attention.h"
#include "nn/page_arena.h"

namespace {

double Best(const std::function<void()>& work) {
  double best = 1e9;
  for (int i = 0; i < 8; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: attention_speed fp32|bf16 THREADS SEQUENCES LENGTH\n");
    return 2;
  }
  genflow::nn::SetThreads(std::atoi(argv[2]));
  genflow::nn::UsePageArena();
  const at::ScalarType type = std::string(argv[1]) == "bf16" ? at::kBFloat16 : at::kFloat;
  const int64_t count = std::atoll(argv[3]), length = std::atoll(argv[4]), n = count * length;
  const at::Tensor q = at::randn({n, 9, 64}).to(type), k = at::randn({n, 3, 64}).to(type);
  const at::Tensor v = at::randn({n, 3, 64}).to(type), dout = at::randn({n, 9, 64}).to(type);
  const at::Tensor out = at::empty_like(q), lse = at::empty({9, n}, at::kFloat);
  const at::Tensor dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
  std::vector<int64_t> bounds;
  for (int64_t i = 0; i <= count; ++i) bounds.push_back(i * length);
  const double forward = Best([&] { genflow::nn::FlashAttention(q, k, v, bounds, out, lse); });
  const double backward =
      Best([&] { genflow::nn::FlashAttentionBackward(q, k, v, out, lse, dout, bounds, dq, dk, dv); });

  const auto rows = [&](const at::Tensor& x) {
    return x.view({count, length, x.size(1), 64}).transpose(1, 2).detach().set_requires_grad(true);
  };
  const at::Tensor tq = rows(q), tk = rows(k), tv = rows(v);
  at::Tensor torch_out;
  const double torch_forward = Best([&] {
    torch_out = at::scaled_dot_product_attention(tq, tk, tv, {}, 0.0, /*is_causal=*/true, std::nullopt,
                                                 /*enable_gqa=*/true);
  });
  const at::Tensor torch_dout = rows(dout).detach();
  const double torch_backward = Best([&] { torch_out.backward(torch_dout, /*retain_graph=*/true); });
  const double flops =
      2.0 * static_cast<double>(n * length * 9 * 64);  // of the two products under the diagonal
  std::printf(
      "%s, %lld x %lld: forward %.2f ms (%.0f GFLOP/s), libtorch %.2f ms; backward %.2f ms (%.0f GFLOP/s), "
      "libtorch %.2f ms\n",
      argv[1], static_cast<long long>(count), static_cast<long long>(length), forward * 1e3,
      flops / forward / 1e9, torch_forward * 1e3, backward * 1e3, 2.5 * flops / backward / 1e9,
      torch_backward * 1e3);
  return 0;
}
