extern "C" int an_ordinary_library() { return 1; }
