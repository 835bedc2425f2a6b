kairo_fuzzer(audit_line SOURCES targets/audit_line.cpp DEPS audit)
