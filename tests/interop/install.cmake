# cmake -DNODE=... -DNPM=... -DFROM=source -DTO=directory -P install.cmake
#
# Copies the client and its tests to TO and installs the package there as the lock file says. The source tree is left
# alone. What is installed already, from the same lock file, is kept.
foreach(tool NODE NPM)
  if(NOT ${tool} OR NOT EXISTS "${${tool}}")
    string(TOLOWER ${tool} name)
    message(FATAL_ERROR "${name} was not found: the interop tests need Node 18 or newer with npm "
                        "(Debian packages nodejs and npm); install them and configure again")
  endif()
endforeach()
execute_process(COMMAND ${NODE} --version OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE
                COMMAND_ERROR_IS_FATAL ANY)
if(NOT version MATCHES "^v([0-9]+)\\." OR CMAKE_MATCH_1 LESS 18)
  message(FATAL_ERROR "${NODE} is ${version}: the interop tests need Node 18 or newer")
endif()

file(GLOB sources ${FROM}/*.mjs ${FROM}/package.json ${FROM}/package-lock.json)
file(GLOB old ${TO}/*.mjs)
if(old)
  file(REMOVE ${old})
endif()
file(COPY ${sources} DESTINATION ${TO})

file(SHA256 ${FROM}/package-lock.json wanted)
set(installed "")
if(EXISTS ${TO}/installed)
  file(READ ${TO}/installed installed)
endif()
if(installed STREQUAL "${wanted}")
  return()
endif()
execute_process(COMMAND ${NPM} ci --no-audit --no-fund --ignore-scripts WORKING_DIRECTORY ${TO} RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "npm could not install the packages of ${FROM}/package-lock.json into ${TO}")
endif()
file(WRITE ${TO}/installed "${wanted}")
