#include <sys/mman.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "rig.hpp"

using namespace kairo;
using namespace kairo::stream;

TEST_CASE("bytes written one behind the other are one piece, referred ones a piece of their own") {
  Batch batch(4096);
  const std::string outside = "outside";
  batch.append("ab", 2);
  batch.append("cd", 2);
  batch.refer(outside.data(), outside.size());
  batch.append("ef", 2);
  CHECK(batch.pieces().size() == 3);
  CHECK(test::joined(batch) == "abcdoutsideef");
  CHECK(batch.bytes() == 13);
  CHECK(batch.room() == 4096 - 6);
}

TEST_CASE("a cleared batch is empty, has its room back and a new generation") {
  Batch batch(4096);
  const auto before = batch.generation();
  batch.append("ab", 2);
  batch.clear();
  CHECK(batch.empty());
  CHECK(batch.pieces().empty());
  CHECK(batch.room() == 4096);
  CHECK(batch.generation() != before);
}

TEST_CASE("the rest of a batch can be copied from any byte on") {
  Batch batch(4096);
  const std::string outside = "outside";
  batch.append("abcd", 4);
  batch.refer(outside.data(), outside.size());
  batch.append("ef", 2);
  const std::string all = test::joined(batch);
  for (std::size_t sent = 0; sent <= all.size(); ++sent) {
    std::string rest = "before:";
    REQUIRE(batch.copy_rest(sent, rest).ok());
    REQUIRE(rest == "before:" + all.substr(sent));
  }
}

TEST_CASE("the rest of a batch whose file was truncated is an error, not a SIGBUS") {
  const UniqueFd file(::memfd_create("log", MFD_CLOEXEC));
  REQUIRE(::ftruncate(file.get(), 4096) == 0);
  void* mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file.get(), 0);
  REQUIRE(mapped != MAP_FAILED);
  Batch batch(4096);
  batch.refer(static_cast<const char*>(mapped), 100);
  REQUIRE(::ftruncate(file.get(), 0) == 0);
  std::string rest;
  CHECK_FALSE(batch.copy_rest(0, rest).ok());
  CHECK(rest.empty());
  ::munmap(mapped, 4096);
}
