#include "sizing/hardware.h"

#include <gtest/gtest.h>

namespace genflow::sizing {
namespace {

TEST(Hardware, WhatIsBuiltIn) {
  const auto cards = BuiltinCards();
  ASSERT_TRUE(cards.ok()) << cards.error().ToString();
  for (const char* name : {"a10", "a100", "h100", "h200", "l4", "l40s", "rtx4090"}) {
    const auto card = FindCard(*cards, name);
    ASSERT_TRUE(card.ok()) << name;
    EXPECT_GT(card->memory, 20ull << 30) << name;
    EXPECT_GT(card->bf16_tflops, 100) << name;
    EXPECT_GT(card->bandwidth_gb_s, 100) << name;
    EXPECT_TRUE(card->on_demand.has_value()) << name;
    EXPECT_NE(card->price_source, "") << name;
    EXPECT_NE(card->price_as_of, "") << name;
    if (card->spot) EXPECT_LT(*card->spot, *card->on_demand) << name;
  }
  EXPECT_EQ(FindCard(*cards, "H100")->title, "NVIDIA H100 SXM");
}

TEST(Hardware, SizesAndNames) {
  const auto cards = *BuiltinCards();
  const auto size = FindCard(cards, "24G");
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(size->memory, 24ull << 30);
  EXPECT_EQ(size->bf16_tflops, 0);
  EXPECT_EQ(FindCard(cards, "a1000").error().ToString(),
            "'a1000' is no GPU that is known, and no size of memory\n  hint: did you mean 'a100'?");
  EXPECT_EQ(FindCard(cards, "24").error().message, "'24' is no GPU that is known, and no size of memory");
}

TEST(Hardware, FilesOfOnesOwn) {
  const auto cards =
      ReadCards("mine.yaml", "cards:\n  Box: { memory: 48G, bf16_tflops: 100, price: { on_demand: 0.5 } }\n");
  ASSERT_TRUE(cards.ok()) << cards.error().ToString();
  ASSERT_EQ(cards->size(), 1u);
  EXPECT_EQ(FindCard(*cards, "box")->memory, 48ull << 30);
  EXPECT_EQ((*cards)[0].efficiency, 0.4);
  EXPECT_EQ((*cards)[0].on_demand, 0.5);
  EXPECT_FALSE((*cards)[0].spot.has_value());
}

TEST(Hardware, ProblemsAtTheirPlaces) {
  const auto cards = ReadCards("mine.yaml", "cards:\n  box: { memroy: 48G, bf16_tflops: many }\n");
  ASSERT_FALSE(cards.ok());
  EXPECT_EQ(cards.error().message,
            "mine.yaml cannot be used\n"
            "mine.yaml:2:3: error: 'box' needs its memory\n"
            "    2 |   box: { memroy: 48G, bf16_tflops: many }\n"
            "      |   ^~~\n"
            "  hint: such as memory: 24G\n"
            "\n"
            "mine.yaml:2:10: error: unknown key 'memroy'\n"
            "    2 |   box: { memroy: 48G, bf16_tflops: many }\n"
            "      |          ^~~~~~\n"
            "  hint: did you mean 'memory'?\n"
            "\n"
            "mine.yaml:2:36: error: 'bf16_tflops' must be a number from 0 up\n"
            "    2 |   box: { memroy: 48G, bf16_tflops: many }\n"
            "      |                                    ^~~~\n"
            "\n"
            "3 errors");
  EXPECT_EQ(ReadCards("mine.yaml", "- a\n").error().message,
            "mine.yaml cannot be used\n"
            "mine.yaml:1:1: error: expected a map 'cards' of names and what is known of each\n"
            "    1 | - a\n"
            "      | ^\n"
            "  hint: such as cards: { mine: { title: My card, memory: 24G } }\n"
            "\n"
            "1 error");
}

}  // namespace
}  // namespace genflow::sizing
