// genflow graph: a pipeline drawn.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kPipeline[] = R"(name: drawn
stages:
  base: { uses: test.act }
  pages: { uses: test.act }
  clean: { uses: test.act, in: { in: pages.out } }
  tune: { uses: test.act, in: { in: [base.out, clean.out] } }
  judge: { uses: test.act, in: { in: tune.out } }
  tidy: { uses: exec, needs: [tune], with: { run: 'true' } }
)";

class GraphCommand : public testing::Test {
 protected:
  void SetUp() override { box.Write("pipeline.yaml", kPipeline); }
  std::string Out(const std::vector<std::string>& args) {
    const auto result = box.Genflow(args);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }
  Sandbox box;
};

TEST_F(GraphCommand, AsText) {
  EXPECT_EQ(Out({"graph"}),
            "●    base   test.act\n"
            "│ ●  pages  test.act\n"
            "│ ●  clean  test.act\n"
            "├─╯\n"
            "●    tune   test.act\n"
            "├─╮\n"
            "│ ●  judge  test.act\n"
            "●    tidy   exec\n");
  box.SetEnv("LANG", "C");
  EXPECT_EQ(Out({"graph"}),
            "*    base   test.act\n"
            "| *  pages  test.act\n"
            "| *  clean  test.act\n"
            "+-+\n"
            "*    tune   test.act\n"
            "+-+\n"
            "| *  judge  test.act\n"
            "*    tidy   exec\n");
  EXPECT_FALSE(box.Exists(".genflow")) << "drawing makes no store";
}

TEST_F(GraphCommand, AsMermaid) {
  EXPECT_EQ(Out({"graph", "--format", "mermaid"}),
            "flowchart TD\n"
            "  n0[\"base<br/><small>test.act</small>\"]\n"
            "  n1[\"pages<br/><small>test.act</small>\"]\n"
            "  n2[\"clean<br/><small>test.act</small>\"]\n"
            "  n3[\"tune<br/><small>test.act</small>\"]\n"
            "  n4[\"judge<br/><small>test.act</small>\"]\n"
            "  n5[\"tidy<br/><small>exec</small>\"]\n"
            "  n0 -->|\"out\"| n3\n"
            "  n1 -->|\"out\"| n2\n"
            "  n2 -->|\"out\"| n3\n"
            "  n3 -->|\"out\"| n4\n"
            "  n3 -.-> n5\n");
}

TEST_F(GraphCommand, AsDot) {
  const std::string dot = Out({"graph", "--format", "dot"});
  EXPECT_EQ(dot.substr(0, dot.find('\n')), "digraph \"drawn\" {");
  EXPECT_NE(dot.find("\n  n5 [label=\"tidy\\nexec\"]\n"), std::string::npos) << dot;
  EXPECT_NE(dot.find("\n  n0 -> n3 [label=\"out\"]\n"), std::string::npos) << dot;
  EXPECT_NE(dot.find("\n  n3 -> n5 [style=dashed]\n}\n"), std::string::npos) << dot;
}

TEST_F(GraphCommand, AsSvg) {
  const std::string svg = Out({"graph", "--format", "svg"});
  EXPECT_EQ(svg, Out({"graph", "--format", "svg"})) << "the same bytes each time";
  EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"")) << svg;
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  for (const char* name : {"base", "pages", "clean", "tune", "judge", "tidy"})
    EXPECT_NE(svg.find(std::string("\">") + name + "</text>"), std::string::npos) << name;
  EXPECT_NE(svg.find("<path class=\"order\" d=\"M"), std::string::npos);
  EXPECT_NE(svg.find("<title>tune before tidy</title>"), std::string::npos);
  // Well formed: every element that is opened is closed, in order.
  std::vector<std::string> open;
  const std::regex tag("<(/?)([a-z]+)([^<>]*?)(/?)>");
  for (std::sregex_iterator it(svg.begin(), svg.end(), tag), end; it != end; ++it) {
    if ((*it)[1].length() > 0) {
      ASSERT_FALSE(open.empty());
      EXPECT_EQ(open.back(), (*it)[2].str());
      open.pop_back();
    } else if ((*it)[4].length() == 0) {
      open.push_back((*it)[2]);
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(Out({"graph", "--format", "svg", "-o", "p.svg"}), "");
  EXPECT_EQ(box.Read("p.svg"), svg);
}

TEST_F(GraphCommand, AFileIsWrittenAsItsNameEnds) {
  const auto written = [&](const std::string& file) {
    EXPECT_EQ(Out({"graph", "-o", file}), "");
    return box.Read(file);
  };
  EXPECT_EQ(written("p.svg"), Out({"graph", "--format", "svg"}));
  EXPECT_EQ(written("p.dot"), Out({"graph", "--format", "dot"}));
  EXPECT_EQ(written("p.mmd"), Out({"graph", "--format", "mermaid"}));
  EXPECT_EQ(written("p.json"), Out({"graph", "--json"}));
  EXPECT_EQ(Out({"graph", "--format", "dot", "-o", "named.svg"}), "") << "what is asked for wins";
  EXPECT_EQ(box.Read("named.svg"), box.Read("p.dot"));
}

TEST_F(GraphCommand, WithTheStatusesOfARun) {
  ASSERT_EQ(box.Genflow({"run", "--until", "clean"}).code, 0);
  ASSERT_EQ(box.Genflow({"run", "--until", "clean"}).code, 0);
  EXPECT_EQ(box.Normal(Out({"graph", "--status"})),
            "●    base   test.act  not selected\n"
            "│ ●  pages  test.act  cached\n"
            "│ ●  clean  test.act  cached\n"
            "├─╯\n"
            "●    tune   test.act  not selected\n"
            "├─╮\n"
            "│ ●  judge  test.act  not selected\n"
            "●    tidy   exec      not selected\n"
            "\n"
            "drawn: statuses of run RUN\n");
  const json runs = json::parse(Out({"runs", "ls", "--json"}));
  const std::string first = runs[1]["id"];
  const json graph = json::parse(Out({"graph", "--run", first, "--json"}));
  EXPECT_EQ(graph["run"], first);
  EXPECT_EQ(graph["nodes"][1], json::parse(R"({"id":"pages","uses":"test.act","status":"run"})"));
  EXPECT_EQ(graph["edges"][4], json::parse(R"({"from":"tune","to":"tidy","kind":"order","ports":[]})"));
  const std::string svg = Out({"graph", "--run", first, "--format", "svg"});
  EXPECT_NE(svg.find("<g class=\"run\"><title>pages: run</title>"), std::string::npos);
  const std::string mermaid = Out({"graph", "--run", first, "--format", "mermaid"});
  EXPECT_NE(mermaid.find("\n  classDef run fill:#dcfce7,stroke:#15803d\n  class n1,n2 run\n"),
            std::string::npos)
      << mermaid;
}

TEST_F(GraphCommand, MistakesHelp) {
  const auto format = box.Genflow({"graph", "--format", "mermiad"});
  EXPECT_EQ(format.code, 2);
  EXPECT_EQ(format.err, "error: --format mermiad is not known\n  hint: did you mean 'mermaid'?\n");
  const auto status = box.Genflow({"graph", "--status"});
  EXPECT_EQ(status.code, 2);
  EXPECT_EQ(box.Normal(status.err),
            "error: DIR/.genflow: there is no run store here\n"
            "  hint: run a pipeline first, or say where the store is with --store\n");
  box.Write("broken.yaml", "name: x\nstages:\n  a: { uses: nothing }\n");
  EXPECT_EQ(box.Genflow({"graph", "broken.yaml"}).code, 2);
}

}  // namespace
}  // namespace genflow
