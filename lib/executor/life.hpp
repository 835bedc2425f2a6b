// One life of a node as a flow sees it: a duplex whose output an Outlet takes and whose input an Intake
// feeds. A process whose stdin and stdout are apart may have one Life over an adapter of both, or two; a
// worker's pipe is one. Both sides of a flow hold it; with the last holder the duplex is destroyed.
#pragma once

#include <functional>
#include <memory>

#include "executor/duplex.hpp"

namespace kairo::executor {

class Life {
 public:
  /// Starts the duplex. `closed`, where given, is told of its on_close, from the loop.
  explicit Life(std::shared_ptr<Duplex> duplex, std::function<void(const Error*)> closed = {});
  ~Life();
  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;

  [[nodiscard]] Duplex& duplex() { return *duplex_; }

  /// For Outlet and Intake: who hears on_data and on_end, and who on_drain. Both hear on_close.
  void set_reader(std::weak_ptr<DuplexHandler> reader);
  void set_writer(std::weak_ptr<DuplexHandler> writer);

 private:
  class Relay;
  std::shared_ptr<Duplex> duplex_;
  std::shared_ptr<Relay> relay_;
};

}  // namespace kairo::executor
