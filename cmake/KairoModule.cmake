# kairo_module(NAME [SOURCES ...] [DEPS ...] [PRIVATE_DEPS ...])
#
# One static library per folder of lib/, target kairo_NAME. A module may link only modules that stand
# above it in the list of lib/CMakeLists.txt; this is checked here, so that the order in docs/architecture.md
# is the order of the build.

add_library(kairo_options INTERFACE)
target_compile_options(kairo_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wconversion
                       -Wno-sign-conversion -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False positives of GCC 12 in inlined standard library and Boost code.
  target_compile_options(kairo_options INTERFACE -Wno-restrict -Wno-maybe-uninitialized
                         -Wno-stringop-overflow -Wno-array-bounds -Wno-stringop-overread)
endif()
target_compile_definitions(kairo_options INTERFACE KAIRO_VERSION="${PROJECT_VERSION}")
target_include_directories(kairo_options INTERFACE ${CMAKE_SOURCE_DIR}/lib)
if(KAIRO_SANITIZE)
  target_compile_options(kairo_options INTERFACE -fsanitize=address,undefined
                         -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(kairo_options INTERFACE -fsanitize=address,undefined)
else()
  target_link_options(kairo_options INTERFACE -static-libstdc++ -static-libgcc)
endif()

function(kairo_module NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  list(FIND KAIRO_MODULE_ORDER ${NAME} own)
  set(links)
  foreach(dep IN LISTS ARG_DEPS)
    list(FIND KAIRO_MODULE_ORDER ${dep} theirs)
    if(theirs EQUAL -1 OR NOT theirs LESS own)
      message(FATAL_ERROR "lib/${NAME} may not use lib/${dep}: it does not stand above it")
    endif()
    list(APPEND links kairo_${dep})
  endforeach()
  add_library(kairo_${NAME} STATIC ${ARG_SOURCES})
  target_link_libraries(kairo_${NAME} PUBLIC kairo_options ${links} PRIVATE ${ARG_PRIVATE_DEPS})
endfunction()
