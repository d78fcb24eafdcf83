# Crossing to 64-bit Windows with mingw-w64 (Debian: g++-mingw-w64-x86-64). The libraries that the client is built on come
# from build_windows_dependencies.sh, which puts them into BUNRAKU_WINDOWS_PREFIX.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_VERSION 10.0)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
# The posix variant brings std::thread and std::mutex.
find_program(CMAKE_C_COMPILER NAMES x86_64-w64-mingw32-gcc-posix x86_64-w64-mingw32-gcc)
find_program(CMAKE_CXX_COMPILER NAMES x86_64-w64-mingw32-g++-posix x86_64-w64-mingw32-g++)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)

set(BUNRAKU_WINDOWS_PREFIX "${CMAKE_CURRENT_LIST_DIR}/../../../build/windows-prefix"
    CACHE PATH "Where build_windows_dependencies.sh has installed")
set(CMAKE_FIND_ROOT_PATH "${BUNRAKU_WINDOWS_PREFIX}" /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# One DLL that needs nothing but Windows.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-static")

# Tests run under Wine where it is installed.
find_program(BUNRAKU_WINE NAMES wine64 wine PATHS /usr/lib/wine)
if(BUNRAKU_WINE)
    set(CMAKE_CROSSCOMPILING_EMULATOR "${BUNRAKU_WINE}")
endif()
