// A journal in a folder of its own: what the tests of the journal stand on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "event/file_journal.hpp"
#include "reflect/encode.hpp"
#include "unit/storage/rig.hpp"

namespace kairo::test {

inline event::Fact fact(const std::string& type, std::size_t data_bytes = 0) {
  event::Fact out;
  out.event.type = type;
  out.event.time = to_iso8601(system_now());
  out.event.data.msgpack = reflect::to_msgpack(std::string(data_bytes, 'd'));
  return out;
}

struct JournalRig {
  Folder dir;
  event::FileJournal::Options options;
  std::vector<std::string> damages;  ///< of the last opening
  std::unique_ptr<event::FileJournal> journal;

  JournalRig() { open(); }

  void close() { journal.reset(); }
  void open() {
    close();
    options.state_dir = dir.fd();
    auto opened = event::FileJournal::open(options);
    if (!opened) throw std::runtime_error(opened.error().message);
    journal = std::move(opened->journal);
    damages = std::move(opened->damages);
  }
  std::uint64_t append(std::size_t data_bytes = 0) {
    auto number = journal->append(fact("test.event", data_bytes));
    if (!number) throw std::runtime_error(number.error().message);
    return *number;
  }
  std::vector<std::uint64_t> numbers(std::uint64_t since = 0) {
    std::vector<std::uint64_t> out;
    auto read = journal->read(since, [&](const event::Fact& each) {
      out.push_back(*each.event.seq);
      return true;
    });
    if (!read) throw std::runtime_error(read.error().message);
    return out;
  }
  /// Names of the segments, oldest first.
  std::vector<std::string> segments() const {
    std::vector<std::string> out;
    for (const auto& name : dir.names("journal"))
      if (name.size() == 27) out.push_back("journal/" + name);
    return out;
  }
};

}  // namespace kairo::test
