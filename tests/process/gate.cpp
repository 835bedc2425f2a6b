// What is said where the tests of process mode are not run.
#include "rig.hpp"

TEST_CASE("the tests of process mode run where MK_PROCESS_EXPERIMENTAL=1" *
          doctest::test_suite("processUnix")) {
  if (kairo::test::gated()) MESSAGE("skipped: MK_PROCESS_EXPERIMENTAL is not 1");
}

TEST_CASE("the large tests of process mode run where MK_PROCESS_EXPERIMENTAL=1" *
          doctest::test_suite("processUnixLarge")) {
  if (kairo::test::gated()) MESSAGE("skipped: MK_PROCESS_EXPERIMENTAL is not 1");
}
