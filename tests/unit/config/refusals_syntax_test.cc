// Refusals of text that is no YAML, or more of it than a pipeline may hold, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

TEST(Refusals, TabIndentation) {
  EXPECT_EQ(Refusal(R"(stages:
	pages: 1
)"),
            R"(
pipeline.yaml:2:1: error: a tab cannot indent a line in YAML
    2 |  pages: 1
      | ^
  hint: use spaces

1 error
)");
}

TEST(Refusals, UnclosedMapping) {
  EXPECT_EQ(Refusal(R"(stages:
  pages: { uses: data.read
)"),
            R"(
pipeline.yaml:2:28: error: not valid YAML: '{' is not closed by '}'
    2 |   pages: { uses: data.read
      |                           ^

1 error
)");
}

TEST(Refusals, UnclosedList) {
  EXPECT_EQ(Refusal("name: [a, b\n"),
            R"(
pipeline.yaml:1:13: error: not valid YAML: '[' is not closed by ']'
    1 | name: [a, b
      |            ^

1 error
)");
}

TEST(Refusals, ClosesNothing) {
  EXPECT_EQ(Refusal("name: ]\n"),
            R"(
pipeline.yaml:1:7: error: not valid YAML: this closes nothing
    1 | name: ]
      |       ^

1 error
)");

  EXPECT_EQ(Refusal(R"(stages:
  pages: { uses: data.read ]
)"),
            R"(
pipeline.yaml:2:28: error: not valid YAML: this closes nothing
    2 |   pages: { uses: data.read ]
      |                            ^

1 error
)");
}

TEST(Refusals, UnclosedQuote) {
  EXPECT_EQ(Refusal(R"(name: "abc
stages: {}
)"),
            R"(
pipeline.yaml:1:7: error: not valid YAML: the quoted text is not closed
    1 | name: "abc
      |       ^

1 error
)");
}

TEST(Refusals, QuoteOpenAtTheEndOfTheText) {
  EXPECT_EQ(Refusal(R"(name: "abc)"),
            R"(
pipeline.yaml:1:11: error: not valid YAML: the quoted text is not closed
    1 | name: "abc
      |           ^

1 error
)");

  EXPECT_EQ(Refusal(R"(name: "abc
--- d"
)"),
            R"(
pipeline.yaml:2:1: error: not valid YAML: the quoted text is not closed
    2 | --- d"
      | ^

1 error
)");
}

TEST(Refusals, ColonInPlainText) {
  EXPECT_EQ(Refusal(R"(name: a: b
)"),
            R"(
pipeline.yaml:1:8: error: not valid YAML: a ':' that starts a value cannot stand here
    1 | name: a: b
      |        ^
  hint: put text that holds ': ' in quotes, or end the key in the line above with ':'

1 error
)");
}

TEST(Refusals, ListEntryInsideALine) {
  EXPECT_EQ(Refusal("needs: - b\n"),
            R"(
pipeline.yaml:1:8: error: not valid YAML: a list entry cannot stand here
    1 | needs: - b
      |        ^
  hint: put '- ' on a line of its own, indented under the key

1 error
)");
}

TEST(Refusals, KeyInsideALine) {
  EXPECT_EQ(Refusal("name: ? b\n"),
            R"(
pipeline.yaml:1:7: error: not valid YAML: a key cannot stand here
    1 | name: ? b
      |       ^
  hint: put it on a line of its own

1 error
)");
}

TEST(Refusals, WrongIndentation) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
   with: { path: x }
)"),
            R"(
pipeline.yaml:4:4: error: not valid YAML: this line does not fit the mapping above it
    4 |    with: { path: x }
      |    ^
  hint: check the indentation, and that every key ends in ':'

1 error
)");
}

TEST(Refusals, LineThatDoesNotFitItsList) {
  EXPECT_EQ(Refusal(R"(needs:
  - "a" b
)"),
            R"(
pipeline.yaml:2:9: error: not valid YAML: this line does not fit the list above it
    2 |   - "a" b
      |         ^
  hint: check the indentation, and that every entry starts with '- '

1 error
)");
}

TEST(Refusals, BadEscape) {
  EXPECT_EQ(Refusal(R"(name: "\q"
)"),
            R"(
pipeline.yaml:1:10: error: not valid YAML: unknown escape in double quotes
    1 | name: "\q"
      |          ^
  hint: use single quotes, or write a backslash as \\

1 error
)");
}

TEST(Refusals, UndefinedAlias) {
  EXPECT_EQ(Refusal(R"(name: *nothing
)"),
            R"(
pipeline.yaml:1:7: error: not valid YAML: this alias refers to no anchor
    1 | name: *nothing
      |       ^
  hint: define it above as &name

1 error
)");
}

TEST(Refusals, WhatNoWordingCovers) {
  EXPECT_EQ(Refusal("name: @x\n"),
            R"(
pipeline.yaml:1:7: error: not valid YAML: unknown token
    1 | name: @x
      |       ^

1 error
)");
}

TEST(Refusals, KeyThatIsNoText) {
  EXPECT_EQ(Refusal(R"(? [a, b]
: x
)"),
            R"(
pipeline.yaml:1:3: error: a key must be text, not a list
    1 | ? [a, b]
      |   ^

1 error
)");

  EXPECT_EQ(Refusal("{ { a: b }: c }\n"),
            R"(
pipeline.yaml:1:3: error: a key must be text, not a mapping
    1 | { { a: b }: c }
      |   ^

1 error
)");
}

TEST(Refusals, KeyThatIsMissing) {
  EXPECT_EQ(Refusal(R"(stages:
  : { uses: data.read }
)"),
            R"(
pipeline.yaml:2:3: error: a key is missing before ':'
    2 |   : { uses: data.read }
      |   ^

1 error
)");
}

TEST(Refusals, SecondDocument) {
  EXPECT_EQ(Refusal(R"(name: a
stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
---
name: b
)"),
            R"(
pipeline.yaml:7:1: error: the file holds a second document
    7 | name: b
      | ^
  hint: keep one, without '---' between

1 error
)");
}

TEST(Refusals, CustomTag) {
  EXPECT_EQ(Refusal(R"(name: !lua os.exit
stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
)"),
            R"(
pipeline.yaml:1:7: error: tags such as '!lua' have no meaning here
    1 | name: !lua os.exit
      |       ^~~~

1 error
)");
}

TEST(Refusals, NotAMapping) {
  EXPECT_EQ(Refusal(R"(- a
- b
)"),
            R"(
pipeline.yaml:1:1: error: a pipeline file expects a mapping, got a list
    1 | - a
      | ^

1 error
)");
}

TEST(Refusals, EmptyFile) {
  EXPECT_EQ(Refusal(""), R"(
pipeline.yaml: error: the file is empty
  hint: a pipeline starts with name: and has stages:

1 error
)");
}

TEST(Refusals, CommentsAlone) {
  EXPECT_EQ(Refusal(R"(# nothing yet
)"),
            R"(
pipeline.yaml: error: the file is empty
  hint: a pipeline starts with name: and has stages:

1 error
)");
}

TEST(Refusals, NestingTooDeep) {
  EXPECT_EQ(Refusal("name: " + std::string(70, '[') + "\n"), R"(
pipeline.yaml:1:39: error: values are nested more than 64 levels deep
    1 | name: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
      |                                       ^

1 error
)");
}

TEST(Refusals, NotUtf8) {
  EXPECT_EQ(Refusal("name: caf\xe9\n"), R"(
pipeline.yaml:1:10: error: the file is not UTF-8 text
  hint: save it with the encoding UTF-8

1 error
)");
  EXPECT_EQ(Refusal("name: a\xED\xA0\x80\n"), R"(
pipeline.yaml:1:8: error: the file is not UTF-8 text
  hint: save it with the encoding UTF-8

1 error
)") << "a surrogate";
}

}  // namespace
}  // namespace genflow
