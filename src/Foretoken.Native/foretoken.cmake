# Adds Foretoken to llama.cpp's target `llama`. Included at the end of the patched src/CMakeLists.txt.

set(FORETOKEN_SOURCES
    llama-graph-staged.cpp
    llama-kv-cache-staged.cpp
    llama-prefill-staged.cpp
    llama-complete-staged.cpp
    llama-residual-store.cpp
    llama-staged.cpp
    foretoken.cpp
    foretoken-adapter.cpp
    foretoken-chat.cpp
    foretoken-context.cpp
    foretoken-grammar.cpp
    foretoken-kernels.cpp
    foretoken-model.cpp
    foretoken-prefill.cpp
    foretoken-regex.cpp
    foretoken-sampler.cpp
    foretoken-skim.cpp)

list(TRANSFORM FORETOKEN_SOURCES PREPEND ${FORETOKEN_DIR}/src/)

#
# llama.cpp's common/chat (Jinja templates, tool calls, grammars from JSON schemas), compiled in
#

set(LLAMA_COMMON_DIR ${CMAKE_CURRENT_SOURCE_DIR}/../common)
set(LLAMA_VENDOR_DIR ${CMAKE_CURRENT_SOURCE_DIR}/../vendor)

set(BUILD_COMPILER "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
set(BUILD_TARGET   "${CMAKE_SYSTEM_NAME} ${CMAKE_SYSTEM_PROCESSOR}")
configure_file(${LLAMA_COMMON_DIR}/build-info.cpp.in ${CMAKE_CURRENT_BINARY_DIR}/build-info.cpp)

# the parsers of templates that have one of their own: LLAMA_CHAT_PARSERS_SOURCES
include(${LLAMA_COMMON_DIR}/parsers/sources.cmake)

# an archive: only the members that the chat code reaches are linked, and common/unicode.cpp does not meet src/unicode.cpp
add_library(foretoken-common STATIC EXCLUDE_FROM_ALL
    ${FORETOKEN_DIR}/src/common-left-out.cpp
    ${FORETOKEN_DIR}/src/foretoken-template.cpp
    ${LLAMA_CHAT_PARSERS_SOURCES}
    ${CMAKE_CURRENT_BINARY_DIR}/build-info.cpp
    ${LLAMA_COMMON_DIR}/chat-auto-parser-generator.cpp
    ${LLAMA_COMMON_DIR}/chat-auto-parser-helpers.cpp
    ${LLAMA_COMMON_DIR}/chat-diff-analyzer.cpp
    ${LLAMA_COMMON_DIR}/chat-peg-parser.cpp
    ${LLAMA_COMMON_DIR}/chat.cpp
    ${LLAMA_COMMON_DIR}/common.cpp
    ${LLAMA_COMMON_DIR}/json-schema-to-grammar.cpp
    ${LLAMA_COMMON_DIR}/json-schema.cpp
    ${LLAMA_COMMON_DIR}/json.cpp
    ${LLAMA_COMMON_DIR}/llguidance.cpp
    ${LLAMA_COMMON_DIR}/log.cpp
    ${LLAMA_COMMON_DIR}/peg-parser.cpp
    ${LLAMA_COMMON_DIR}/reasoning-budget.cpp
    ${LLAMA_COMMON_DIR}/sampling.cpp
    ${LLAMA_COMMON_DIR}/trie.cpp
    ${LLAMA_COMMON_DIR}/unicode.cpp
    ${LLAMA_COMMON_DIR}/jinja/caps.cpp
    ${LLAMA_COMMON_DIR}/jinja/lexer.cpp
    ${LLAMA_COMMON_DIR}/jinja/parser.cpp
    ${LLAMA_COMMON_DIR}/jinja/runtime.cpp
    ${LLAMA_COMMON_DIR}/jinja/string.cpp
    ${LLAMA_COMMON_DIR}/jinja/value.cpp)

find_package(Threads REQUIRED)

set_target_properties     (foretoken-common PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(foretoken-common PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/../include ${LLAMA_COMMON_DIR} ${FORETOKEN_DIR}/src)
target_include_directories(foretoken-common SYSTEM PRIVATE ${LLAMA_VENDOR_DIR})
target_compile_features   (foretoken-common PRIVATE cxx_std_17)
target_link_libraries     (foretoken-common PRIVATE ggml Threads::Threads)

# code that runs once per request, and takes half as long again to compile with -O3
if (NOT MSVC)
    target_compile_options(foretoken-common PRIVATE $<$<CONFIG:Release>:-O1>)
endif()

#
# our own sources
#

target_sources(llama PRIVATE ${FORETOKEN_SOURCES})

# the hooks include llama-graph-staged.h; programs that link llama see foretoken.h
target_include_directories(llama PRIVATE ${FORETOKEN_DIR}/src)
target_include_directories(llama PUBLIC  ${FORETOKEN_DIR}/include)
target_link_libraries     (llama PRIVATE foretoken-common)

set_source_files_properties(${FORETOKEN_SOURCES} PROPERTIES
    INCLUDE_DIRECTORIES "${LLAMA_COMMON_DIR};${CMAKE_CURRENT_SOURCE_DIR}/../ggml/src"
    COMPILE_DEFINITIONS "FTK_LLAMA_RELEASE=\"${FORETOKEN_RELEASE}\";FTK_PATCH_HASH=\"${FORETOKEN_PATCH_HASH}\";FTK_BUILD_TYPE=\"${CMAKE_BUILD_TYPE}\";FTK_BUILD_COMPILER=\"${BUILD_COMPILER}\";FTK_BUILD_TARGET=\"${BUILD_TARGET}\";FTK_BUILD_OPTIONS=\"${FORETOKEN_BUILD_OPTIONS}\"")

if (MSVC)
    set(FORETOKEN_COMPILE_OPTIONS /W4 /WX /external:I${LLAMA_VENDOR_DIR} /external:W0)
else()
    set(FORETOKEN_COMPILE_OPTIONS -Wall -Wextra -Werror -isystem ${LLAMA_VENDOR_DIR})
endif()
set_source_files_properties(${FORETOKEN_SOURCES} PROPERTIES COMPILE_OPTIONS "${FORETOKEN_COMPILE_OPTIONS}")

#
# exports: the stock library's, llama_staged_* and ftk_*, and nothing of what is compiled in
#

# Not done by compiling with hidden visibility: an inline function or a template instance that the stock library exports
# would be hidden too as soon as one of these sources uses it.
set(FORETOKEN_LOCAL_SYMBOLS *nlohmann* *jinja* *common_* _Z*ftk_*)

if (CMAKE_SYSTEM_NAME STREQUAL "Linux")
    list(JOIN FORETOKEN_LOCAL_SYMBOLS "; " patterns)
    file(CONFIGURE OUTPUT foretoken-exports.map CONTENT "{ global: *; local: @patterns@; };\n" @ONLY)
    # -Bsymbolic-functions: the calls inside of this library reach its own functions, whatever else the process has loaded.
    # A library that stands in front of it and exports some of the same names, with other structs, would get them otherwise.
    target_link_options(llama PRIVATE
        LINKER:--no-undefined
        LINKER:-Bsymbolic-functions
        LINKER:--exclude-libs,libforetoken-common.a
        LINKER:--version-script,${CMAKE_CURRENT_BINARY_DIR}/foretoken-exports.map)
elseif (APPLE)
    list(TRANSFORM FORETOKEN_LOCAL_SYMBOLS PREPEND _ REGEX "^_Z")
    list(JOIN FORETOKEN_LOCAL_SYMBOLS "\n" patterns)
    file(CONFIGURE OUTPUT foretoken-unexported.txt CONTENT "@patterns@\n" @ONLY)
    target_link_options(llama PRIVATE LINKER:-unexported_symbols_list,${CMAKE_CURRENT_BINARY_DIR}/foretoken-unexported.txt)
endif()
