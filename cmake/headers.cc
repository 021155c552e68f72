// Compiled with the precompiled headers of cmake/Targets.cmake, so that they belong to a target.
