#include "nn/kv_cache.h"

#include "fixtures.h"

namespace genflow::nn {
namespace {

constexpr int64_t kKvHeads = 2, kHeadDim = 3;

at::Tensor Tokens(int64_t count, double value) {
  return (at::arange(count * kKvHeads * kHeadDim, at::kFloat) + value).view({count, kKvHeads, kHeadDim});
}

// What row `row` holds in layer 0, [length, kv_heads, head_dim].
at::Tensor Held(const KvCache& cache, int64_t row) {
  return cache.keys(0)[row].narrow(1, 0, cache.length(row)).transpose(0, 1);
}

TEST(KvCache, KeepsWhatWasWrittenWhileItGrows) {
  KvCache cache(1, kKvHeads, kHeadDim, at::kFloat, at::kCPU);
  EXPECT_EQ(cache.AddRows(2), 0);
  cache.Reserve(0, {3, 40});
  cache.Write(0, 0, Tokens(3, 0), Tokens(3, 500));
  cache.Write(0, 1, Tokens(40, 1000), Tokens(40, 5000));
  cache.Commit();
  EXPECT_EQ(cache.max_length(), 40);
  EXPECT_EQ(cache.AddRows(1), 2);
  cache.Reserve(1, {200, 5});
  cache.Write(0, 1, Tokens(200, 2000), Tokens(200, 0));
  cache.Write(0, 2, Tokens(5, 3000), Tokens(5, 0));
  cache.Commit();
  EXPECT_EQ(cache.length(0), 3);
  EXPECT_EQ(cache.length(1), 240);
  EXPECT_EQ(cache.length(2), 5);
  EXPECT_TRUE(Held(cache, 0).equal(Tokens(3, 0)));
  EXPECT_TRUE(Held(cache, 1).equal(at::cat({Tokens(40, 1000), Tokens(200, 2000)})));
  EXPECT_TRUE(Held(cache, 2).equal(Tokens(5, 3000)));
  EXPECT_TRUE(cache.values(0)[0].narrow(1, 0, 3).transpose(0, 1).equal(Tokens(3, 500)));
}

TEST(KvCache, TakesTokensThatStandApartAndOfOtherTypes) {
  const at::Tensor beside = at::cat({Tokens(200, 0), Tokens(200, 5000), Tokens(200, 9000)}, 1);
  const at::Tensor k = beside.narrow(1, 0, kKvHeads), v = beside.narrow(1, kKvHeads, kKvHeads);
  const auto check = [&](const at::Tensor& keys, const at::Tensor& values) {
    KvCache cache(1, kKvHeads, kHeadDim, at::kFloat, at::kCPU);
    cache.AddRows(2);
    cache.Reserve(0, {1, 200});
    cache.Write(0, 1, keys, values);
    cache.Commit();
    EXPECT_TRUE(Held(cache, 1).equal(Tokens(200, 0)));
    EXPECT_TRUE(cache.values(0)[1].narrow(1, 0, 200).transpose(0, 1).equal(Tokens(200, 5000)));
  };
  check(k, v);
  check(k.to(at::kDouble), v.to(at::kDouble));
  check(k.permute({2, 0, 1}).contiguous().permute({1, 2, 0}), v);
}

TEST(KvCache, OneTokenForEachRow) {
  KvCache cache(1, kKvHeads, kHeadDim, at::kFloat, at::kCPU);
  cache.AddRows(3);
  cache.Reserve(1, {2, 4});
  cache.Write(0, 1, Tokens(2, 0), Tokens(2, 0));
  cache.Write(0, 2, Tokens(4, 100), Tokens(4, 0));
  cache.Commit();
  cache.Reserve(1, {1, 1});
  cache.WriteOneEach(0, Tokens(2, 50), Tokens(2, 60));
  cache.Commit();
  EXPECT_EQ(cache.length(0), 0);
  EXPECT_TRUE(Held(cache, 1).equal(at::cat({Tokens(2, 0), Tokens(2, 50).narrow(0, 0, 1)})));
  EXPECT_TRUE(Held(cache, 2).equal(at::cat({Tokens(4, 100), Tokens(2, 50).narrow(0, 1, 1)})));
}

TEST(KvCache, ADroppedRowIsReplacedByTheLast) {
  KvCache cache(1, kKvHeads, kHeadDim, at::kFloat, at::kCPU);
  cache.AddRows(3);
  cache.Reserve(0, {2, 3, 4});
  for (int64_t row = 0; row < 3; ++row) {
    const auto length = row + 2;
    cache.Write(0, row, Tokens(length, 100.0 * static_cast<double>(row)), Tokens(length, 0));
  }
  cache.Commit();
  cache.DropRow(0);
  ASSERT_EQ(cache.rows(), 2);
  EXPECT_TRUE(Held(cache, 0).equal(Tokens(4, 200)));
  EXPECT_TRUE(Held(cache, 1).equal(Tokens(3, 100)));
  cache.DropRow(1);
  ASSERT_EQ(cache.rows(), 1);
  EXPECT_TRUE(Held(cache, 0).equal(Tokens(4, 200)));
  // A reused row starts empty.
  cache.AddRows(1);
  EXPECT_EQ(cache.length(1), 0);
}

TEST(KvCache, TruncateForgetsTheEnd) {
  KvCache cache(1, kKvHeads, kHeadDim, at::kFloat, at::kCPU);
  cache.AddRows(1);
  cache.Reserve(0, {5});
  cache.Write(0, 0, Tokens(5, 0), Tokens(5, 0));
  cache.Commit();
  cache.Truncate(0, 2);
  EXPECT_TRUE(Held(cache, 0).equal(Tokens(2, 0)));
  cache.Truncate(0, 4);
  EXPECT_EQ(cache.length(0), 2);
}

}  // namespace
}  // namespace genflow::nn
