#include "system/device_claims.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "system/claim_file.hpp"
#include "unit/storage/rig.hpp"

using namespace kairo;
using namespace kairo::system;

namespace {

DeviceClaim claim_of(const std::string& device, std::uint64_t connection,
                     const std::string& owner = "user:7") {
  DeviceClaim out;
  out.device.id = device;
  out.device.subsystem = "net";
  out.holder.owner = owner;
  out.connection = connection;
  return out;
}
DeviceClaim session_claim(const std::string& device, std::uint64_t key) {
  DeviceClaim out = claim_of(device, 0);
  out.holder.process_id = "s" + std::to_string(key);
  out.session_key = key;
  return out;
}

/// The claims that the file holds.
std::map<std::string, DeviceClaim> on_disk(const test::Folder& folder,
                                           std::optional<std::string>* damage = nullptr) {
  std::map<std::string, DeviceClaim> out;
  auto opened = ClaimFile::open(folder.fd(), [&](DeviceClaim each) { out[each.device.id] = each; });
  REQUIRE(opened);
  if (damage) *damage = opened->damage;
  return out;
}

ClaimFile open_file(const test::Folder& folder) {
  auto opened = ClaimFile::open(folder.fd(), [](const DeviceClaim&) {});
  REQUIRE(opened);
  return std::move(opened->file);
}

}  // namespace

TEST_CASE("a claim is exclusive, and the refusal names who has it") {
  DeviceClaims claims;
  REQUIRE(claims.claim(claim_of("d", 1)));
  auto refused = claims.claim(claim_of("d", 2));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::already_exists);
  CHECK(refused.error().message == "cannot claim device \"d\": user:7 has claimed it, by a connection");
  CHECK_FALSE(claims.claim(session_claim("d", 5)));
  REQUIRE(claims.claim(claim_of("e", 2)));
  REQUIRE(claims.claim(session_claim("f", 5)));
  refused = claims.claim(claim_of("f", 1));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().details.back().first == "processId");
  CHECK(std::get<std::string>(refused.error().details.back().second) == "s5");
}

TEST_CASE("claiming again changes nothing") {
  DeviceClaims claims;
  auto first = claims.claim(claim_of("d", 1));
  auto again = claims.claim(claim_of("d", 1));
  REQUIRE(again);
  CHECK(again->serial == first->serial);
  first = claims.claim(session_claim("e", 5));
  again = claims.claim(session_claim("e", 5));
  REQUIRE(again);
  CHECK(again->serial == first->serial);
}

TEST_CASE("who has a claim may give it to a session, which then alone has it") {
  DeviceClaims claims;
  REQUIRE(claims.claim(claim_of("d", 1)));
  DeviceClaim given = session_claim("d", 5);
  given.connection = 1;
  REQUIRE(claims.claim(given));
  CHECK(claims.release_connection(1).empty());
  CHECK_FALSE(claims.claim(claim_of("d", 1)));
  CHECK_FALSE(claims.claim(session_claim("d", 6)));
  CHECK(claims.release_session(5).size() == 1);
  CHECK(claims.find("d") == nullptr);
}

TEST_CASE("a claim ends with its connection or its session, and no other does") {
  DeviceClaims claims;
  REQUIRE(claims.claim(claim_of("a", 1)));
  REQUIRE(claims.claim(claim_of("b", 2)));
  REQUIRE(claims.claim(session_claim("c", 5)));
  CHECK(claims.release_connection(1).size() == 1);
  CHECK(claims.release_session(6).empty());
  CHECK(claims.find("b") != nullptr);
  CHECK(claims.find("c") != nullptr);
  CHECK(claims.release("b"));
  CHECK_FALSE(claims.release("b"));
}

TEST_CASE("a claim of a lost connection goes to the same principal, or ends") {
  DeviceClaims claims;
  for (const char* id : {"a", "b"}) claims.restore(claim_of(id, 9));
  claims.restore(session_claim("c", 5));
  CHECK_FALSE(claims.claim(claim_of("a", 1, "user:8")));
  REQUIRE(claims.claim(claim_of("a", 1)));
  CHECK_FALSE(claims.claim(claim_of("a", 2)));
  const auto over = claims.release_orphans();
  REQUIRE(over.size() == 1);
  CHECK(over[0].device.id == "b");
  CHECK(claims.all().size() == 2);
}

TEST_CASE("claims are read again from the disk as they were, without those that were released") {
  test::Folder folder;
  {
    ClaimFile file = open_file(folder);
    REQUIRE(file.put(claim_of("a", 1)));
    REQUIRE(file.put(claim_of("b", 1)));
    REQUIRE(file.put(session_claim("b", 5)));
    REQUIRE(file.put(claim_of("c", 1)));
    REQUIRE(file.remove("a"));
    REQUIRE(file.remove("a"));
  }
  const auto claims = on_disk(folder);
  REQUIRE(claims.size() == 2);
  CHECK(claims.at("b").session_key == 5);
  CHECK(claims.at("b").holder.process_id == "s5");
  CHECK(claims.at("c").holder.owner == "user:7");
  CHECK(claims.at("c").device.subsystem == "net");
  CHECK(claims.at("c").connection == 0);
}

TEST_CASE("the file of claims does not grow without end") {
  test::Folder folder;
  ClaimFile file = open_file(folder);
  REQUIRE(file.put(claim_of("kept", 1)));
  std::uint64_t most = 0;
  for (int i = 0; i < 5000; ++i) {
    REQUIRE(file.put(claim_of("d", 1)));
    REQUIRE(file.remove("d"));
    most = std::max(most, file.bytes());
  }
  CHECK(most < 70'000);
  CHECK(on_disk(folder).count("kept") == 1);
}

TEST_CASE(
    "what a full disk refuses is no claim, and what it could not forget is forgotten once there is room") {
  const test::Folder folder;
  CHECK(test::in_child([&] {
          ClaimFile file = open_file(folder);
          if (!file.put(claim_of("a", 1))) return 1;
          test::limit_files(file.bytes() + 10);
          if (file.put(claim_of("b", 1))) return 2;
          if (file.remove("a")) return 3;
          test::limit_files(1u << 20);
          return file.put(claim_of("c", 1)) ? 0 : 4;
        }) == 0);
  const auto claims = on_disk(folder);
  CHECK(claims.size() == 1);
  CHECK(claims.count("c") == 1);
}

TEST_CASE("claims of another boot are over, and damage is set aside") {
  test::Folder folder;
  {
    ClaimFile file = open_file(folder);
    REQUIRE(file.put(claim_of("a", 1)));
    REQUIRE(file.put(claim_of("b", 1)));
  }
  const UniqueFd raw(::openat(folder.fd(), "claims", O_RDWR | O_CLOEXEC));
  REQUIRE(raw);
  const off_t size = ::lseek(raw.get(), 0, SEEK_END);
  REQUIRE(::pwrite(raw.get(), "\xff", 1, size - 1) == 1);
  std::optional<std::string> damage;
  CHECK(on_disk(folder, &damage).size() == 1);
  CHECK(damage.has_value());
  REQUIRE(::pwrite(raw.get(), "00000000-another-boot-000000000000000", 36, 12) == 36);
  CHECK(on_disk(folder).empty());
}
