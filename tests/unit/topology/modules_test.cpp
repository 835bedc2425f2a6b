#include "topology/modules.hpp"

#include "reflect/encode.hpp"
#include "rig.hpp"
#include "topology/pattern.hpp"

using namespace kairo;
using topology::find_module;

namespace {

template <class Params>
std::string check(std::string_view module, const Params& params) {
  const auto result = find_module(module)->check({reflect::to_msgpack(params)}, "p");
  return result ? "" : result.error().message;
}

}  // namespace

TEST_CASE("every module of the issue is in the table, and no other") {
  std::vector<std::string_view> names;
  for (const auto& each : topology::modules()) names.push_back(each.name);
  CHECK(names == std::vector<std::string_view>{"passthrough", "uppercase", "tee", "meter", "rate-limit",
                                               "filter-lines", "file-source", "file-sink", "count"});
  CHECK(find_module("cat") == nullptr);
  CHECK_FALSE(find_module("file-source")->takes_input);
  CHECK_FALSE(find_module("file-sink")->gives_output);
}

TEST_CASE("parameters are decoded strictly and checked") {
  CHECK(check("tee", topology::TeeParams{"f", true}).empty());
  CHECK(check("tee", topology::TeeParams{"", true}) == "p.path is empty");
  CHECK(check("file-sink", topology::FileSinkParams{std::string("a\0b", 3), false, false}) ==
        "p.path holds a NUL byte");
  CHECK(check("rate-limit", topology::RateLimitParams{0, {}}) == "p.bytesPerSecond must be at least 1");
  CHECK(check("rate-limit", topology::RateLimitParams{1, 0}) == "p.burstBytes must be at least 1");
  CHECK(check("file-source", topology::FileSourceParams{"f", 0, 0}) == "p.repeat must be at least 1");
  CHECK(check("filter-lines", topology::FilterLinesParams{"a(b", false})
            .starts_with("p.match is no extended regular expression: "));
  CHECK(check("passthrough", topology::TeeParams{"f", true}) == "p.path is not a known field");
  const auto missing = find_module("tee")->check({}, "p");
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().message == "p.path is missing");
  CHECK(find_module("count")->check({}, "p").ok());
}

TEST_CASE("atoms of a pattern are counted as repetitions write them out") {
  CHECK(topology::count_atoms("abc") == 3);
  CHECK(topology::count_atoms("a+") == 2);
  CHECK(topology::count_atoms("[]a]{3}") == 3);
  CHECK(topology::count_atoms("[[:alpha:]]{2,5}") == 5);
  CHECK(topology::count_atoms("(ab){4}") == 12);
  CHECK(topology::count_atoms("\\(\\+") == 2);
  CHECK(topology::count_atoms("a{2,}") == 3);
  CHECK(topology::count_atoms("((a{99}){99}){99}") > topology::pattern_atoms);
}

TEST_CASE("a pattern that would take all memory is refused, and ordinary ones are not") {
  for (const char* each : {"ERROR|WARN", "^[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+ .*(GET|POST) /[^ ]+ [0-9]{3}$",
                           "", "^$", "(a+b+)+c", "[^]]+", "a{,3}"})
    CHECK_MESSAGE(!topology::find_pattern_fault(each), each);
  std::string nested = "a";
  for (int i = 0; i < 40; ++i) nested = "(" + nested + ")+";
  for (const std::string& each :
       {std::string("((((a{999}){999}){999}){999})"), nested, std::string(2000, 'a')})
    CHECK_MESSAGE(topology::find_pattern_fault(each), each);
}
