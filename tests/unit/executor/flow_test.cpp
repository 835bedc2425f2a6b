#include "executor/flow.hpp"

#include <algorithm>
#include <cerrno>
#include <random>
#include <sstream>

#include "contract.hpp"
#include "flow_rig.hpp"

using namespace kairo;
using namespace kairo::executor;
using namespace kairo::executor::test;
using api::Boundary;
using api::ConnectionType;
using api::NodeIo;
using contract::numbered;

namespace {

constexpr NodeIo both_kinds[] = {NodeIo::sockets, NodeIo::pipes};

/// Writes into a node's output whatever it takes, piece by piece, and closes it behind the last.
struct Writer {
  NodeEnd& to;
  std::string bytes;
  std::size_t piece = 100'000;
  std::size_t at = 0;
  void step() {
    if (at == bytes.size()) return to.close();
    at += to.write(std::string_view(bytes).substr(at, piece));
  }
};

}  // namespace

TEST_CASE("a direct edge passes everything and the end, between sockets and pipes") {
  for (const NodeIo from_io : both_kinds)
    for (const NodeIo to_io : both_kinds) {
      const std::size_t before = open_descriptors();
      {
        Loop loop;
        Source from(loop, from_io);
        Sink to(loop, to_io);
        connect(from.outlet, to.intake, ConnectionType::direct);
        from.last = true;
        from.open();
        to.open();
        std::mt19937 random(7);
        Writer writer{from.out, numbered(8'000'000)};
        std::string got;
        loop.until([&] { return to.in.ended(); },
                   [&] {
                     // Each of the two pauses at times, and takes pieces of any size.
                     writer.piece = random() % 3 == 0 ? 1 + random() % 50 : 1 + random() % 200'000;
                     if (random() % 4 != 0) writer.step();
                     if (random() % 4 != 0)
                       got += to.in.read(random() % 3 == 0 ? 1 + random() % 50 : 1 + random() % 300'000);
                   });
        loop.settle();
        CHECK((got == writer.bytes));
        CHECK(to.ends == 1);
        CHECK(from.ends == 1);
        CHECK_FALSE(from.why);
        CHECK(from.outlet.bytes() == got.size());
        CHECK(to.intake.bytes() == got.size());
        CHECK(edge_bytes(from.outlet, to.intake) == got.size());
      }
      CHECK(open_descriptors() == before);
    }
}
