// Against transformers' apply_chat_template: tests/parity/make_template_fixtures.py.
#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

#include "base/files.h"

namespace genflow::text {
namespace {

using nlohmann::ordered_json;

ordered_json Fixture(const std::string& name) {
  return ordered_json::parse(ReadFile(GENFLOW_SOURCE_DIR "/tests/parity/fixtures/text/" + name).value());
}

TEST(ChatTemplate, RendersWhatTransformersRenders) {
  const ordered_json fixture = Fixture("template_cases.json");
  std::map<std::string, ChatTemplate> templates;
  for (const auto& [name, source] : fixture["templates"].items()) {
    auto parsed = ChatTemplate::Parse(source.get<std::string>());
    ASSERT_TRUE(parsed.ok()) << name << ": " << parsed.error().ToString();
    templates.emplace(name, std::move(parsed).value());
  }
  int rendered = 0, refused = 0;
  for (const auto& test : fixture["cases"]) {
    const std::string name = test["template"];
    SCOPED_TRACE(name + " " + test.dump());
    RenderOptions options{.add_generation_prompt = test["add_generation_prompt"].get<bool>(),
                          .bos_token = fixture["bos_token"].get<std::string>(),
                          .eos_token = fixture["eos_token"].get<std::string>()};
    options.variables = ordered_json::object();
    for (const char* variable : {"date_string", "enable_thinking"}) {
      if (test.contains(variable)) options.variables[variable] = test[variable];
    }
    if (test.contains("tools")) options.tools = test["tools"];
    const auto result = templates.at(name).RenderJson(test["messages"], options);
    if (test.contains("error")) {
      ASSERT_FALSE(result.ok()) << result->text;
      EXPECT_THAT(result.error().message, testing::EndsWith(" refuses: " + test["error"].get<std::string>()));
      ++refused;
    } else {
      ASSERT_TRUE(result.ok()) << result.error().ToString();
      EXPECT_EQ(result->text, test["text"].get<std::string>());
      ++rendered;
    }
  }
  EXPECT_GT(rendered, 100);
  EXPECT_GT(refused, 5);
}

TEST(ChatTemplate, MarksWhatMessagesSay) {
  const auto parsed =
      ChatTemplate::Parse("{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<end>{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  const auto rendered = parsed->Render({{"user", " a<end>b "}, {"assistant", "c"}}, {});
  ASSERT_TRUE(rendered.ok()) << rendered.error().ToString();
  EXPECT_EQ(rendered->text, "<|user|>a<end>b<end><|assistant|>c<end>");
  std::vector<std::string> contents;
  for (const auto& range : rendered->contents)
    contents.push_back(rendered->text.substr(range.begin, range.end - range.begin));
  EXPECT_EQ(contents, (std::vector<std::string>{"a<end>b", "c"}));
}

TEST(ChatTemplate, FindsGenerationBlocks) {
  const auto parsed = ChatTemplate::Parse(
      "{% for m in messages %}\n{{ m.role }}:{% if m.role == 'assistant' %}\n  {%- generation -%}\n  {{ "
      "m.content }}!{% endgeneration %}\n"
      "{% else %}{{ m.content }}{% endif %};{% endfor %}");
  ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
  EXPECT_TRUE(parsed->has_generation_blocks());
  const auto rendered =
      parsed->Render({{"user", "q"}, {"assistant", "one"}, {"user", "q"}, {"assistant", "two"}}, {});
  ASSERT_TRUE(rendered.ok()) << rendered.error().ToString();
  EXPECT_EQ(rendered->text, "user:q;assistant:one!;user:q;assistant:two!;");
  std::vector<std::string> blocks;
  for (const auto& range : rendered->generations)
    blocks.push_back(rendered->text.substr(range.begin, range.end - range.begin));
  EXPECT_EQ(blocks, (std::vector<std::string>{"one!", "two!"}));
}

TEST(ChatTemplate, KnowsTheDate) {
  const auto parsed = ChatTemplate::Parse("{{ strftime_now('%d %b %Y') }}");
  ASSERT_TRUE(parsed.ok());
  constexpr int64_t kNoon = 1767268800;  // 1 January 2026, 12:00 UTC
  EXPECT_EQ(parsed->Render(std::vector<Message>{}, {.now = kNoon})->text, "01 Jan 2026");
}

TEST(ChatTemplate, TheDateIsThatOfUtc) {
  const char* before = ::getenv("TZ");
  const std::string zone = before == nullptr ? "" : before;
  ::setenv("TZ", "EAST-14", 1);  // fourteen hours ahead
  ::tzset();
  const auto parsed = ChatTemplate::Parse("{{ strftime_now('%d %b %Y %H:%M') }}");
  const auto rendered = parsed->Render(std::vector<Message>{}, {.now = 1767268800});
  if (before == nullptr)
    ::unsetenv("TZ");
  else
    ::setenv("TZ", zone.c_str(), 1);
  ::tzset();
  ASSERT_TRUE(rendered.ok()) << rendered.error().ToString();
  EXPECT_EQ(rendered->text, "01 Jan 2026 12:00");
}

std::string ParseError(const std::string& source) {
  const auto parsed = ChatTemplate::Parse(source);
  return parsed.ok() ? "parsed" : parsed.error().message;
}

std::string RenderError(const std::string& source) {
  const auto parsed = ChatTemplate::Parse(source);
  if (!parsed.ok()) return "does not parse: " + parsed.error().message;
  const auto rendered = parsed->Render({{"user", "x"}}, {});
  return rendered.ok() ? "rendered: " + rendered->text : rendered.error().message;
}

TEST(ChatTemplate, SyntaxErrorsNameTheLine) {
  EXPECT_EQ(ParseError(" \n"), "the chat template is empty");
  EXPECT_EQ(ParseError("a\nb\n{{ messages | }}\n"), "chat template, line 3: Unexpected token: }}");
  EXPECT_EQ(ParseError("one\n{{ 'a' ? }}"), "chat template, line 2: unexpected character: ?");
  EXPECT_EQ(ParseError("{% for m in messages %}\n{{ m }}"),
            "chat template, line 1: the 'for' block is not closed");
  EXPECT_EQ(ParseError("x\n{% frobnicate %}"), "chat template, line 2: Unknown statement: frobnicate");
  EXPECT_EQ(ParseError("{% if a %}\n\n{% for b in c %}{{ b }}{% endfor %}"),
            "chat template, line 1: the 'if' block is not closed");
  EXPECT_EQ(ParseError("{{ a }}\n{% set b = %}\n{{ c }}"), "chat template, line 2: Unexpected token: %}");
  EXPECT_EQ(ParseError("{{ " + std::string(300, '(') + "1" + std::string(300, ')') + " }}"),
            "the chat template is nested deeper than 200 levels");
}

TEST(ChatTemplate, RunTimeErrorsNameTheLine) {
  EXPECT_EQ(RenderError("x\n\n{{ raise_exception('no system role') }}"),
            "chat template, line 3 refuses: no system role");
  EXPECT_EQ(RenderError("\n{{ 'a' - 1 }}"),
            "chat template, line 2: Unknown operator \"-\" between String and Integer");
  EXPECT_EQ(RenderError("{{ strftime_now('') }}"),
            "chat template, line 1: strftime_now cannot format the time as ''");
}

TEST(ChatTemplate, RefusesMessagesWithTheReservedMark) {
  const auto parsed = ChatTemplate::Parse("{{ messages[0].content }}");
  const auto rendered = parsed->Render({{"user", "\x02<genflow:generation>\x02"}}, {});
  ASSERT_FALSE(rendered.ok());
  EXPECT_EQ(rendered.error().message, "a message holds the reserved text '<genflow:generation>'");
}

// A template cut anywhere is an error or a shorter template, never a crash.
TEST(ChatTemplate, SurvivesTruncation) {
  const ordered_json fixture = Fixture("template_cases.json");
  int errors = 0;
  for (const auto& [name, source] : fixture["templates"].items()) {
    const std::string text = source;
    for (size_t size = 1; size < text.size(); size += 5) {
      const auto parsed = ChatTemplate::Parse(std::string_view(text).substr(0, size));
      if (!parsed.ok()) {
        ++errors;
        EXPECT_FALSE(parsed.error().message.empty());
      } else if (size % 15 == 1) {
        (void)parsed->Render({{"user", "x"}, {"assistant", "y"}}, {});
      }
    }
  }
  EXPECT_GT(errors, 500);
}

}  // namespace
}  // namespace genflow::text
