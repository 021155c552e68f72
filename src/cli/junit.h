// JUnit XML, as Jenkins, GitLab and the Surefire schema understand it.
#pragma once

#include <string>

#include "cli/ci_outcome.h"

namespace genflow::cli {

// One suite, named after the pipeline: a case a stage, a case of class PIPELINE.STAGE for each requirement of
// a gate, and a case of class PIPELINE.file for each error of the pipeline file. Failed stages and
// requirements that are not met are failures; what kept the run from its end (a lock, an interruption, the
// store) is an error.
std::string RenderJunit(const RunOutcome& outcome);

}  // namespace genflow::cli
