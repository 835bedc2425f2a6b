# Third-party packages, each as one imported target. Why each is there: docs/dependencies.md.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(doctest REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(UDEV REQUIRED IMPORTED_TARGET libudev)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)

# Debian's msgpack-cxx headers cannot be installed beside Boost 1.81 (they pull in Boost 1.74), so
# scripts/build unpacks the package below build/third_party and names the place here.
set(KAIRO_MSGPACK_INCLUDE "${CMAKE_SOURCE_DIR}/build/third_party/msgpack/usr/include" CACHE PATH
    "Where msgpack.hpp of msgpack-cxx lives")
if(NOT EXISTS ${KAIRO_MSGPACK_INCLUDE}/msgpack.hpp)
  message(FATAL_ERROR "msgpack.hpp is not in ${KAIRO_MSGPACK_INCLUDE}: run scripts/build, which "
                      "fetches it, or set KAIRO_MSGPACK_INCLUDE")
endif()
add_library(kairo_msgpack INTERFACE)
target_include_directories(kairo_msgpack SYSTEM INTERFACE ${KAIRO_MSGPACK_INCLUDE})
target_compile_definitions(kairo_msgpack INTERFACE MSGPACK_USE_BOOST)

add_library(kairo_asio INTERFACE)
target_link_libraries(kairo_asio INTERFACE Boost::headers Threads::Threads)
target_compile_definitions(kairo_asio INTERFACE BOOST_ASIO_NO_DEPRECATED)

# SHA-256 of OpenSSL's libcrypto. Of the archive only that one function is linked (40 KiB); the shared library, five
# megabytes, would cost every start of the daemon and the keeper a millisecond of relocation.
find_package(OpenSSL 1.1 REQUIRED COMPONENTS Crypto)
find_library(KAIRO_LIBCRYPTO_ARCHIVE libcrypto.a)
add_library(kairo_crypto INTERFACE)
target_include_directories(kairo_crypto SYSTEM INTERFACE ${OPENSSL_INCLUDE_DIR})
if(KAIRO_LIBCRYPTO_ARCHIVE)
  target_link_libraries(kairo_crypto INTERFACE ${KAIRO_LIBCRYPTO_ARCHIVE} Threads::Threads)
else()
  target_link_libraries(kairo_crypto INTERFACE OpenSSL::Crypto)
endif()

# The events of libyaml, for topology files, which only kairoctl reads. Of the archive, since kairoctl is a static
# program and the daemon, which links the same module, needs none of it.
find_path(KAIRO_YAML_INCLUDE yaml.h REQUIRED)
find_library(KAIRO_YAML_ARCHIVE libyaml.a REQUIRED)
add_library(kairo_yaml INTERFACE)
target_include_directories(kairo_yaml SYSTEM INTERFACE ${KAIRO_YAML_INCLUDE})
target_link_libraries(kairo_yaml INTERFACE ${KAIRO_YAML_ARCHIVE})
