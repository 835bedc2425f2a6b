// What a fuzz target asserts: it holds in every build, NDEBUG or not.
#pragma once

#include <cstdio>
#include <cstdlib>

#define KAIRO_FUZZ_CHECK(condition)                                                \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)
