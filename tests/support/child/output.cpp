// Commands about the three streams.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/child/commands.hpp"
#include "support/pattern.hpp"

namespace kairo::test {
namespace {

constexpr size_t block_bytes = 65536;
char block[block_bytes];

/// Bytes read; 0 at the end.
size_t read_some(void* to, size_t size) {
  for (;;) {
    const ssize_t got = read(0, to, size);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) fail("cannot read stdin");
  }
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

void spew(Args& args) {
  const uint64_t total = args.number("spew needs BYTES");
  const int fd = args.stream();
  for (uint64_t offset = 0; offset < total;) {
    const size_t size = total - offset < block_bytes ? static_cast<size_t>(total - offset) : block_bytes;
    pattern_fill(block, size, offset);
    write_all(fd, block, size);
    offset += size;
  }
}

void lines(Args& args) {
  const uint64_t count = args.number("lines needs COUNT");
  const uint64_t length = args.next_is_number() ? args.number("LEN") : 0;
  if (length > block_bytes - 1) usage("LEN is at most 65535");
  size_t used = 0;
  for (uint64_t n = 0; n < count; ++n) {
    char line[block_bytes];
    size_t size =
        static_cast<size_t>(snprintf(line, sizeof line, "line %llu", static_cast<unsigned long long>(n)));
    if (size < length) {
      memset(line + size, '.', length - size);
      size = length;
    }
    line[size++] = '\n';
    if (used + size > block_bytes) {
      write_all(1, block, used);
      used = 0;
    }
    memcpy(block + used, line, size);
    used += size;
  }
  write_all(1, block, used);
}

void bytes(Args& args) {
  const char* hex = args.text("bytes needs HEX");
  const size_t size = strlen(hex) / 2;
  if (strlen(hex) % 2 != 0 || size > block_bytes) usage("HEX is an even number of digits for at most 64 KiB");
  for (size_t i = 0; i < size; ++i) {
    const int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) usage("HEX is made of 0-9 and a-f");
    block[i] = static_cast<char>(high << 4 | low);
  }
  write_all(args.stream(), block, size);
}

void cat(Args&) {
  while (const size_t got = read_some(block, block_bytes)) write_all(1, block, got);
}

void copy(Args& args) {
  for (uint64_t left = args.number("copy needs BYTES"); left > 0;) {
    const size_t got = read_some(block, left < block_bytes ? static_cast<size_t>(left) : block_bytes);
    if (got == 0) _exit(0);
    write_all(1, block, got);
    left -= got;
  }
}

void read_slowly(Args& args) {
  const uint64_t per_read = args.number("read-slowly needs BYTES_PER_READ");
  const double pause_seconds = static_cast<double>(args.number("read-slowly needs MS")) / 1000;
  if (per_read < 1 || per_read > block_bytes) usage("BYTES_PER_READ is 1 to 65536");
  unsigned long long total = 0;
  while (const size_t got = read_some(block, per_read)) {
    total += got;
    sleep_seconds(pause_seconds);
  }
  char text[64];
  snprintf(text, sizeof text, "read %llu\n", total);
  print(text);
}

void verify_stdin(Args&) {
  unsigned long long total = 0;
  char text[64];
  while (const size_t got = read_some(block, block_bytes)) {
    const size_t good = pattern_mismatch(block, got, total);
    total += good;
    if (good == got) continue;
    snprintf(text, sizeof text, "wrong %llu\n", total);
    print(text);
    _exit(1);
  }
  snprintf(text, sizeof text, "ok %llu\n", total);
  print(text);
}

void await_line(Args&) {
  char c = 0;
  while (c != '\n')
    if (read_some(&c, 1) == 0) usage("stdin ended before the line that was awaited");
}

void exit_without_reading(Args& args) {
  const int status = static_cast<int>(args.number("exit-without-reading needs N"));
  pollfd in{0, POLLIN, 0};
  while (poll(&in, 1, -1) < 0)
    if (errno != EINTR) fail("cannot poll stdin");
  _exit(status);
}

void close_stdin_then_sleep(Args&) {
  close(0);
  print("ready\n");
  sleep_forever();
}

}  // namespace kairo::test
