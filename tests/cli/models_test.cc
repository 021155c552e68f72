// `genflow models` and `genflow report`.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/judged.h"
#include "cli/sandbox.h"

namespace genflow {
namespace {

class Models : public testing::Test {
 protected:
  void SetUp() override {
    box_.Write("pipeline.yaml", Judged("", "score > 0"));
    ASSERT_EQ(box_.Genflow({"run"}).code, 0);
  }
  CommandResult Run(std::vector<std::string> args) {
    args.insert(args.begin(), "models");
    return box_.Genflow(args);
  }
  Sandbox box_;
};

TEST_F(Models, RegisterAliasAndList) {
  EXPECT_EQ(Run({"ls"}).out, "no models\n");
  const auto first =
      Run({"register", "helper", "measure.package", "--alias", "production", "--alias", "best"});
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(box_.Normal(first.out), "helper@1: package of run RUN, production, best\n");
  ASSERT_EQ(box_.Genflow({"run", "-p", "score=0.9"}).code, 0);
  EXPECT_EQ(box_.Normal(Run({"register", "helper", "latest:measure.package"}).out),
            "helper@2: package of run RUN\n");
  EXPECT_EQ(Run({"alias", "helper", "production"}).out, "helper@production is helper@2\n");
  const auto list = nlohmann::json::parse(Run({"ls", "--json"}).out);
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["version"], 2);
  EXPECT_EQ(list[0]["aliases"], nlohmann::json({"production"}));
  EXPECT_EQ(list[1]["aliases"], nlohmann::json({"best"}));
  EXPECT_NE(list[0]["run"], list[1]["run"]);
  const auto shown = nlohmann::json::parse(Run({"show", "helper@best", "--json"}).out);
  EXPECT_EQ(shown, list[1]);
  EXPECT_NE(Run({"show", "helper"}).out.find("helper@2"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(Run({"alias", "helper@1", "old", "--json"}).out),
            nlohmann::json({{"name", "helper"}, {"alias", "old"}, {"version", 1}}));
}

TEST_F(Models, RemoveKeepsWhatHasAName) {
  ASSERT_EQ(Run({"register", "helper", "measure.package", "--alias", "production"}).code, 0);
  const auto kept = Run({"rm", "helper@1"});
  EXPECT_EQ(kept.code, 2);
  EXPECT_EQ(kept.err,
            "error: model 'helper@1' has an alias\n"
            "  hint: move it or take it away first: genflow models alias --remove helper ALIAS\n");
  EXPECT_EQ(Run({"alias", "--remove", "helper", "production"}).out, "helper: no longer 'production'\n");
  EXPECT_EQ(Run({"rm", "helper@1"}).out,
            "removed helper@1; `genflow gc` frees what no run and no model uses\n");
  EXPECT_EQ(Run({"ls", "--json"}).out, "[]\n");
  EXPECT_EQ(Run({"alias", "--remove", "helper", "production"}).code, 2);
}

TEST_F(Models, RefusalsHelp) {
  EXPECT_EQ(
      Run({"register", "helper", "measure.report"}).err,
      "error: measure.report is a report\n  hint: a model, an adapter or a package can be registered\n");
  EXPECT_EQ(Run({"register", "a@b", "measure.package"}).err,
            "error: model name 'a@b' must not be empty or hold '@', ':', '/' or spaces\n");
  EXPECT_EQ(Run({"show", "helper"}).err,
            "error: there is no model 'helper'\n  hint: `genflow models register NAME ARTIFACT` makes one\n");
  ASSERT_EQ(Run({"register", "helper", "measure.package", "--alias", "best"}).code, 0);
  EXPECT_EQ(Run({"show", "helpr"}).err, "error: there is no model 'helpr'\n  hint: did you mean 'helper'?\n");
  const auto wrong = Run({"show", "helper@worst"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_EQ(wrong.err, "error: there is no model 'helper@worst'\n  hint: 'helper' has 1, best\n");
  EXPECT_EQ(Run({"rm", "helper"}).err,
            "error: 'helper' names every version of a model\n  hint: write helper@VERSION\n");
  EXPECT_EQ(Run({"alias", "helper", "7"}).err,
            "error: model alias '7' must be a name without '@', ':', '/' or spaces, and not a number\n");
}

// `genflow report`.
TEST_F(Models, ARunAsOneFile) {
  const auto named = box_.Genflow({"report", "-o", "public/run.html"});
  EXPECT_EQ(named.code, 0) << named.err;
  EXPECT_EQ(named.out, "public/run.html\n");
  const std::string html = box_.Read("public/run.html");
  EXPECT_TRUE(html.starts_with("<!DOCTYPE html>\n")) << html;
  for (const char* part : {"<h2>Timeline</h2>", "<h2>Gate gate</h2>", "measure.package", "score &gt; 0"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
  const auto json = nlohmann::json::parse(box_.Genflow({"report", "latest", "--json"}).out);
  EXPECT_EQ(json["file"], "genflow-" + json["run"].get<std::string>() + ".html");
  EXPECT_EQ(json["bytes"], box_.Read(json["file"]).size());
  EXPECT_TRUE(box_.Genflow({"report", "-o", "-"}).out.starts_with("<!DOCTYPE html>\n"));
  const auto wrong = box_.Genflow({"report", "never"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_EQ(wrong.err, "error: there is no run 'never'\n  hint: `genflow runs ls` shows them\n");
}

}  // namespace
}  // namespace genflow
