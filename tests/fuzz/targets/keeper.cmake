kairo_fuzzer(keeper_message SOURCES targets/keeper_message.cpp DEPS keeper)
