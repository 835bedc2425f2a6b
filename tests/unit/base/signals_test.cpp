#include "base/signals.hpp"

#include <signal.h>
#include <string>

#include <doctest/doctest.h>

using namespace kairo;

TEST_CASE("a signal has its usual name") {
  CHECK(signal_name(SIGTERM) == "SIGTERM");
  CHECK(signal_name(SIGKILL) == "SIGKILL");
  CHECK(signal_name(SIGUSR1) == "SIGUSR1");
  CHECK(signal_name(SIGABRT) == "SIGABRT");
}

TEST_CASE("real-time signals are named from SIGRTMIN") {
  CHECK(signal_name(SIGRTMIN) == "SIGRTMIN");
  CHECK(signal_name(SIGRTMIN + 2) == "SIGRTMIN+2");
  CHECK(signal_name(SIGRTMAX) == "SIGRTMIN+" + std::to_string(SIGRTMAX - SIGRTMIN));
}

TEST_CASE("a number that is no signal has a name that says so") {
  CHECK(signal_name(0) == "signal 0");
  CHECK(signal_name(99) == "signal 99");
  CHECK(signal_name(-3) == "signal -3");
}

TEST_CASE("a signal is found by its name with or without SIG, in either case, and by number") {
  for (const char* text : {"SIGTERM", "TERM", "term", "sigterm", "SigTerm", "15"}) {
    CAPTURE(text);
    CHECK(signal_number(text) == SIGTERM);
  }
  CHECK(signal_number("1") == SIGHUP);
  CHECK(signal_number("64") == SIGRTMAX);
  CHECK(signal_number("SIGRTMIN") == SIGRTMIN);
  CHECK(signal_number("rtmin+3") == SIGRTMIN + 3);
}

TEST_CASE("other usual spellings of signals are known") {
  CHECK(signal_number("SIGIOT") == SIGABRT);
  CHECK(signal_number("SIGPOLL") == SIGIO);
  CHECK(signal_number("CLD") == SIGCHLD);
  CHECK(signal_number("RTMAX") == SIGRTMAX);
  CHECK(signal_number("SIGRTMAX-1") == SIGRTMAX - 1);
}

TEST_CASE("every signal is found by the name that it has") {
  for (int number = 1; number <= SIGRTMAX; ++number) {
    const std::string name = signal_name(number);
    if (name.rfind("SIG", 0) != 0) continue;  // the two that the C library keeps for itself
    CAPTURE(name);
    CHECK(signal_number(name) == number);
  }
}

TEST_CASE("what is no signal is not found") {
  for (const char* text : {"",
                           "0",
                           "-1",
                           "65",
                           "SIG",
                           "SIGSIG",
                           "SIGSIGTERM",
                           "TERMINATE",
                           "15x",
                           " 15",
                           "+15",
                           "TERM ",
                           "RTMIN+",
                           "RTMIN+99",
                           "RTMIN-1",
                           "RTMIN+-1",
                           "RTMINX",
                           "RTMAX+1",
                           "RTMAX-99",
                           "RTMAX-",
                           "99999999999999999999",
                           "RTMIN+99999999999999999999",
                           "RTMIN+2147483647"}) {
    CAPTURE(text);
    CHECK_FALSE(signal_number(text).has_value());
  }
}

TEST_CASE("signals that stop, continue or are ignored do not end a process") {
  for (const int number : {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGCHLD, SIGURG, SIGWINCH})
    CHECK_FALSE(signal_terminates(number));
  for (const int number : {SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGPIPE, SIGRTMIN})
    CHECK(signal_terminates(number));
  CHECK_FALSE(signal_terminates(0));
}
