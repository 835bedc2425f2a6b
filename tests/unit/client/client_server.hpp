// The other end of a client under test: a listening socket and one connection, driven by the test itself.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/envelope.hpp"
#include "base/unique_fd.hpp"
#include "support/temp_dir.hpp"
#include "wire/payload.hpp"

namespace kairo::test {

struct SentRequest {
  std::uint64_t id = 0;
  std::string method;
  std::string params;  ///< MsgPack bytes; empty when absent.
  std::string correlation_id;
  std::string causation_id;
  std::size_t descriptors = 0;  ///< That came with this frame.
  std::size_t payload_bytes = 0;
};

class Server {
 public:
  Server() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path().c_str(), path().size() + 1);
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener_.get(), 8) != 0)
      throw std::runtime_error("cannot listen");
  }

  [[nodiscard]] std::string path() const { return dir_.file("s"); }
  void close_listener() { listener_.reset(); }
  void accept() { connection_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
  void hang_up() { connection_.reset(); }
  void send(const std::string& bytes) {
    if (::send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(bytes.size()))
      throw std::runtime_error("cannot send");
  }

  /// The next REQUEST; reads exactly its bytes.
  SentRequest take_request() {
    SentRequest out;
    std::string head = read_exactly(wire::head_bytes, out.descriptors);
    auto parsed = wire::parse_head(head.data());
    if (!parsed || parsed->type != wire::FrameType::request) throw std::runtime_error("no request");
    const std::string payload = read_exactly(parsed->length, out.descriptors);
    out.payload_bytes = payload.size();
    wire::PayloadDecoder decoder;
    auto object = decoder.decode(payload);
    std::optional<api::RequestId> id;
    if (!object) throw std::runtime_error(object.error().message);
    auto request = api::read_request(*object, id);
    if (!request) throw std::runtime_error(request.error().message);
    out.id = std::get<std::uint64_t>(request->id);
    out.method = request->method;
    if (request->params) out.params = reflect::packed(*request->params);
    out.correlation_id = request->correlation_id;
    out.causation_id = request->causation_id;
    return out;
  }

 private:
  std::string read_exactly(std::size_t size, std::size_t& descriptors) {
    std::string out(size, '\0');
    for (std::size_t have = 0; have < size;) {
      iovec piece{out.data() + have, size - have};
      msghdr message{};
      message.msg_iov = &piece;
      message.msg_iovlen = 1;
      alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      const ssize_t got = recvmsg(connection_.get(), &message, MSG_CMSG_CLOEXEC);
      if (got <= 0) throw std::runtime_error("the client hung up");
      have += static_cast<std::size_t>(got);
      for (cmsghdr* each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
        const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        descriptors += count;
        for (std::size_t i = 0; i < count; ++i) {
          int fd = -1;
          std::memcpy(&fd, CMSG_DATA(each) + i * sizeof(int), sizeof fd);
          UniqueFd(fd).reset();
        }
      }
    }
    return out;
  }

  TempDir dir_;
  UniqueFd listener_;
  UniqueFd connection_;
};

}  // namespace kairo::test
