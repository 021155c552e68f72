#include "nn/train/sft_data.h"

#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "data/dataset.h"
#include "testing/scratch.h"
#include "train_testing.h"

namespace genflow::nn::train {
namespace {

constexpr const char* kChatml =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

text::ChatEncoder Encoder(const std::string& source = kChatml) {
  static const auto tokenizer = text::Tokenizer::FromModel(GENFLOW_SMOLLM2_GGUF);
  EXPECT_TRUE(tokenizer.ok());
  const auto parsed = text::ChatTemplate::Parse(source);
  EXPECT_TRUE(parsed.ok());
  auto encoder = text::ChatEncoder::Create(*tokenizer, *parsed);
  EXPECT_TRUE(encoder.ok());
  return std::move(encoder).value();
}

data::MessagesRow Row(const std::string& id, const std::string& answer) {
  return {id, {{"user", "What does ls do?"}, {"assistant", answer}}, "{}"};
}

class Dataset {
 public:
  explicit Dataset(const std::vector<data::MessagesRow>& rows) {
    auto writer = data::DatasetWriter::Create(path(), data::Kind::kMessages);
    EXPECT_TRUE(writer.ok()) << writer.error().ToString();
    for (const auto& row : rows) EXPECT_TRUE(writer->Append(row).ok());
    EXPECT_TRUE(writer->Finish().ok());
  }
  const std::filesystem::path& path() const { return scratch_.path(); }

 private:
  const ScratchFolder scratch_;
};

TEST(SftExamples, MarksAnswersAndTheirEndOfTurn) {
  const auto encoder = Encoder();
  const auto examples =
      SftExamples::Read(Dataset({Row("a", "Lists files."), Row("b", "List.")}).path(), encoder, {});
  ASSERT_TRUE(examples.ok()) << examples.error().ToString();
  ASSERT_EQ(examples->size(), 2u);
  std::string learned;
  int64_t labels = 0;
  for (size_t i = 0; i < 2; ++i) {
    for (size_t t = 0; t < examples->ids(i).size(); ++t) {
      if (!examples->train(i)[t]) continue;
      learned += encoder.tokenizer().TokenBytes(examples->ids(i)[t]);
      ++labels;
    }
  }
  EXPECT_EQ(learned, "Lists files.<|im_end|>List.<|im_end|>");
  EXPECT_EQ(examples->labelled_tokens(), labels);
  EXPECT_EQ(examples->longest(), static_cast<int64_t>(examples->ids(0).size()));
}

TEST(SftExamples, TextsAreLearnedWholeWithTheirEnd) {
  const ScratchFolder folder;
  auto writer = data::DatasetWriter::Create(folder.path(), data::Kind::kText);
  ASSERT_TRUE(writer.ok());
  for (const char* text : {"The first text <|im_end|> is text.", "The second."})
    ASSERT_TRUE(writer->Append(data::TextRow{text, text, "", "{}"}).ok());
  ASSERT_TRUE(writer->Finish().ok());
  const auto examples = SftExamples::FromDataset(folder.path(), GENFLOW_SMOLLM2_GGUF, {});
  ASSERT_TRUE(examples.ok()) << examples.error().ToString();
  ASSERT_EQ(examples->size(), 2u);
  const auto tokenizer = *text::Tokenizer::FromModel(GENFLOW_SMOLLM2_GGUF);
  auto expected = tokenizer.Encode("The first text <|im_end|> is text.");
  expected.push_back(*tokenizer.eos_id());
  EXPECT_EQ(std::vector<int32_t>(examples->ids(0).begin(), examples->ids(0).end()), expected)
      << "what looks like a special token is text";
  EXPECT_EQ(examples->labelled_tokens(), examples->tokens() - 2) << "all but the first of each";

  // Cut at max_length there is no end left, which texts may lack.
  const auto cut = SftExamples::FromDataset(folder.path(), GENFLOW_SMOLLM2_GGUF,
                                            {.max_length = 3, .on_too_long = TooLong::kTruncate});
  ASSERT_TRUE(cut.ok()) << cut.error().ToString();
  EXPECT_EQ(cut->longest(), 3);
  EXPECT_EQ(cut->truncated(), 2);
}

TEST(SftExamples, AnEmptyTextIsRefused) {
  const ScratchFolder folder;
  auto writer = data::DatasetWriter::Create(folder.path(), data::Kind::kText);
  ASSERT_TRUE(writer.ok());
  for (const char* text : {"Something.", ""})
    ASSERT_TRUE(writer->Append(data::TextRow{"row", text, "", "{}"}).ok());
  ASSERT_TRUE(writer->Finish().ok());
  const auto examples = SftExamples::FromDataset(folder.path(), GENFLOW_SMOLLM2_GGUF, {});
  ASSERT_FALSE(examples.ok());
  EXPECT_EQ(examples.error().ToString(),
            "1 of 2 examples have every label masked (first: 'row': the text is empty, or a single token)\n"
            "  hint: drop such rows with data.clean");
}

TEST(SftExamples, ThreadsChangeNothing) {
  const auto encoder = Encoder();
  std::vector<data::MessagesRow> rows;
  for (int i = 0; i < 700; ++i)
    rows.push_back(Row(std::to_string(i), std::string(static_cast<size_t>(i % 37) + 1, 'x')));
  const Dataset dataset(rows);
  const auto one = SftExamples::Read(dataset.path(), encoder, {.threads = 1});
  const auto four = SftExamples::Read(dataset.path(), encoder, {.threads = 4});
  ASSERT_TRUE(one.ok() && four.ok());
  ASSERT_EQ(one->size(), 700u);
  ASSERT_EQ(four->size(), 700u);
  for (size_t i = 0; i < 700; ++i) {
    EXPECT_TRUE(std::equal(one->ids(i).begin(), one->ids(i).end(), four->ids(i).begin(), four->ids(i).end()))
        << i;
  }
}

TEST(SftExamples, RefusesWhatCannotTeach) {
  const data::MessagesRow unanswered{"lonely", {{"user", "Anyone?"}}, "{}"};
  const auto no_answer = SftExamples::Read(Dataset({Row("a", "Yes."), unanswered}).path(), Encoder(), {});
  ASSERT_FALSE(no_answer.ok());
  EXPECT_EQ(
      no_answer.error().message,
      "1 of 2 examples have no assistant tokens (first: 'lonely': the conversation has no message of role "
      "'assistant', so there is nothing to learn)");

  const auto masked =
      SftExamples::Read(Dataset({Row("empty", ""), Row("b", "Yes."), Row("c", "")}).path(), Encoder(), {});
  ASSERT_FALSE(masked.ok());
  EXPECT_EQ(
      masked.error().message,
      "2 of 3 examples have every label masked (first: 'empty': every label is masked: the conversation's "
      "answers hold no text to learn)");
  EXPECT_EQ(masked.error().hint, "remove examples with empty answers");

  const auto endless = SftExamples::Read(
      Dataset({Row("a", "Yes.")}).path(),
      Encoder("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}\n{% endfor %}"
              "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"),
      {});
  ASSERT_FALSE(endless.ok());
  EXPECT_EQ(endless.error().message,
            "1 of 1 examples never train the end-of-turn token (first: 'a': no end-of-turn token closes "
            "message 2, so "
            "a model trained on it would never learn to stop)");

  const auto hidden = SftExamples::Read(
      Dataset({Row("a", "Yes.")}).path(),
      Encoder(
          "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>{{ m.content }}<|im_end|>{% endif %}"
          "{% endfor %}"),
      {});
  ASSERT_FALSE(hidden.ok());
  EXPECT_EQ(hidden.error().message,
            "1 of 1 examples have no assistant tokens (first: 'a': the chat template renders nothing for "
            "message 2, "
            "of role 'assistant')");

  const auto nothing = SftExamples::Read(Dataset({}).path(), Encoder(), {});
  ASSERT_FALSE(nothing.ok());
  EXPECT_EQ(nothing.error().message, "the dataset has no examples");
}

TEST(SftExamples, CountsWhatIsTooLong) {
  const auto encoder = Encoder();
  std::string long_answer = "one";
  for (int i = 0; i < 60; ++i) long_answer += " two";
  const Dataset dataset({Row("short", "Yes."), Row("long", long_answer)});
  const auto all = SftExamples::Read(dataset.path(), encoder, {.max_length = 500});
  ASSERT_TRUE(all.ok()) << all.error().ToString();
  const std::string tokens = std::to_string(all->longest());

  SftDataOptions options{.max_length = 40};
  const auto refused = SftExamples::Read(dataset.path(), encoder, options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message,
            "1 of 2 examples have more than max_length 40 tokens (first: 'long' with " + tokens + ")");
  EXPECT_EQ(refused.error().hint,
            "raise max_length, or set on_too_long to truncate or drop, which are counted in the metrics");

  options.on_too_long = TooLong::kDrop;
  const auto dropped = SftExamples::Read(dataset.path(), encoder, options);
  ASSERT_TRUE(dropped.ok()) << dropped.error().ToString();
  EXPECT_EQ(dropped->size(), 1u);
  EXPECT_EQ(dropped->dropped(), 1);

  options.on_too_long = TooLong::kTruncate;
  const auto truncated = SftExamples::Read(dataset.path(), encoder, options);
  ASSERT_TRUE(truncated.ok()) << truncated.error().ToString();
  EXPECT_EQ(truncated->size(), 2u);
  EXPECT_EQ(truncated->truncated(), 1);
  EXPECT_EQ(truncated->longest(), 40);

  // Where every end of turn is cut off, nothing would teach the model to stop.
  const auto endless = SftExamples::Read(Dataset({Row("long", long_answer)}).path(), encoder, options);
  ASSERT_FALSE(endless.ok());
  EXPECT_EQ(
      endless.error().ToString(),
      "no example keeps its end-of-turn token: each is cut at max_length 40, so a model trained on them "
      "would never learn to stop\n"
      "  hint: raise max_length, or set on_too_long to drop");

  // Cut before the answer begins, an example teaches nothing and counts as dropped.
  options.max_length = 8;
  const auto gone = SftExamples::Read(dataset.path(), encoder, options);
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().message,
            "all 2 examples were dropped, because they have more than max_length 8 tokens");
}

TEST(SftExamples, StopsWhenAsked) {
  const auto stopped = SftExamples::Read(Dataset({Row("a", "Yes.")}).path(), Encoder(),
                                         {.progress = [](uint64_t, uint64_t) { return false; }});
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, Code::kInterrupted);
}

std::vector<int64_t> SomeLengths(size_t count, int64_t longest) {
  std::vector<int64_t> lengths;
  uint64_t state = 5;
  for (size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    lengths.push_back(1 + static_cast<int64_t>((state >> 33) % static_cast<uint64_t>(longest)));
  }
  return lengths;
}

TEST(PackBestFit, HoldsEveryExampleOnceWithinTheLimit) {
  const auto lengths = SomeLengths(3000, 300);
  const PackedRows rows = PackBestFit(lengths, 512, 7, 1000);
  std::vector<int> seen(lengths.size());
  for (const auto& row : rows) {
    int64_t tokens = 0;
    for (const uint32_t member : row) {
      tokens += lengths[member];
      ++seen[member];
    }
    EXPECT_LE(tokens, 512);
    EXPECT_GT(tokens, 0);
  }
  EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; }));
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  EXPECT_GT(static_cast<double>(total) / static_cast<double>(rows.size() * 512), 0.97)
      << "rows are nearly full";
  EXPECT_EQ(PackBestFit(lengths, 512, 7, 1000), rows) << "deterministic";
  EXPECT_NE(PackBestFit(lengths, 512, 8, 1000), rows) << "another seed, another packing";
}

TEST(PackBestFit, GivesALongExampleItsOwnRow) {
  const std::vector<int64_t> lengths{600, 512, 3};
  const PackedRows rows = PackBestFit(lengths, 512, 1);
  EXPECT_EQ(rows.size(), 3u);
}

TEST(EpochOrder, IsAPermutationOfItsOwn) {
  const auto first = EpochOrder(100, 1, 0), second = EpochOrder(100, 1, 1);
  EXPECT_EQ(std::set<uint32_t>(first.begin(), first.end()).size(), 100u);
  EXPECT_NE(first, second);
  EXPECT_NE(first, EpochOrder(100, 2, 0));
  EXPECT_EQ(first, EpochOrder(100, 1, 0));
}

TEST(Collate, RestartsPositionsAndNeverPredictsAcrossSequences) {
  SftExamples examples;
  examples.Append(std::vector<int32_t>{5, 6}, std::vector<uint8_t>{1, 1});
  examples.Append(std::vector<int32_t>{7, 8, 9}, std::vector<uint8_t>{0, 0, 1});
  examples.Append(std::vector<int32_t>{3, 4}, std::vector<uint8_t>{0, 1});
  const MicroBatch batch = Collate(examples, std::vector<uint32_t>{2, 1, 0});
  EXPECT_EQ(batch.ids, (std::vector<int64_t>{7, 8, 9, 3, 4, 5, 6})) << "longest first, then as given";
  EXPECT_EQ(batch.positions, (std::vector<int64_t>{0, 1, 2, 0, 1, 0, 1}));
  EXPECT_EQ(batch.cu_seqlens, (std::vector<int64_t>{0, 3, 5, 7}));
  EXPECT_EQ(batch.rows, (std::vector<int64_t>{1, 3, 5}));
  EXPECT_EQ(batch.targets, (std::vector<int64_t>{9, 4, 6}))
      << "a sequence's first token is predicted by nothing";
  EXPECT_EQ(examples.labelled_tokens(), 3);
}

// tests/parity/trl_fixtures.py: transformers' get_length_grouped_indices with these permutations.
TEST(GroupByLength, EqualsTransformers) {
  const auto cases = nlohmann::json::parse(*ReadFile(Fixtures() / "train/length_grouped.json"));
  ASSERT_GE(cases.size(), 4u);
  for (const auto& c : cases) {
    const auto lengths = c.at("lengths").get<std::vector<int64_t>>();
    EXPECT_EQ(
        GroupByLength(lengths, c.at("window").get<size_t>(), c.at("order").get<std::vector<uint32_t>>()),
        c.at("grouped").get<std::vector<uint32_t>>())
        << lengths.size() << " in windows of " << c.at("window");
  }
}

TEST(CollatePadded, PadsOnTheRightAndLabelsNoPad) {
  SftExamples examples;
  examples.Append(std::vector<int32_t>{5, 6}, std::vector<uint8_t>{0, 1});
  examples.Append(std::vector<int32_t>{7, 8, 9}, std::vector<uint8_t>{0, 1, 1});
  const MicroBatch batch = CollatePadded(examples, std::vector<uint32_t>{0, 1}, 0);
  EXPECT_EQ(batch.width, 3);
  EXPECT_EQ(batch.tokens, 5);
  EXPECT_EQ(batch.ids, (std::vector<int64_t>{7, 8, 9, 5, 6, 0}));
  EXPECT_EQ(batch.positions, (std::vector<int64_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(batch.rows, (std::vector<int64_t>{0, 1, 3}));
  EXPECT_EQ(batch.targets, (std::vector<int64_t>{8, 9, 6}));
  EXPECT_TRUE(batch.cu_seqlens.empty());
  const MicroBatch rounded = CollatePadded(examples, std::vector<uint32_t>{0, 1}, 4);
  EXPECT_EQ(rounded.width, 4);
  EXPECT_EQ(rounded.ids, (std::vector<int64_t>{7, 8, 9, 0, 5, 6, 0, 0}));
  EXPECT_EQ(rounded.rows, (std::vector<int64_t>{0, 1, 4}));
  EXPECT_EQ(rounded.tokens, 5);
}

}  // namespace
}  // namespace genflow::nn::train
