# Finds what the client is built on, by CMake package, by pkg-config or by name, and gives each one target:
# bunraku_zeromq (needed), bunraku_lz4 and bunraku_turbojpeg (each may be missing). Also used by a program that links the
# static library, from where that is installed.

# bunraku_find_library(TARGET PKG_CONFIG_NAME HEADER LIBRARY...): the plain way, for what brings no CMake package.
function(bunraku_find_library target module header)
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND)
        pkg_check_modules(${target}_PC QUIET ${module})
    endif()
    find_path(${target}_INCLUDE_DIR ${header} HINTS ${${target}_PC_INCLUDE_DIRS})
    find_library(${target}_LIBRARY NAMES ${ARGN} HINTS ${${target}_PC_LIBRARY_DIRS})
    mark_as_advanced(${target}_INCLUDE_DIR ${target}_LIBRARY)
    if(${target}_INCLUDE_DIR AND ${target}_LIBRARY AND NOT TARGET ${target})
        add_library(${target} UNKNOWN IMPORTED GLOBAL)
        set_target_properties(${target} PROPERTIES
            IMPORTED_LOCATION "${${target}_LIBRARY}"
            INTERFACE_INCLUDE_DIRECTORIES "${${target}_INCLUDE_DIR}")
    endif()
endfunction()

# bunraku_adopt(TARGET CANDIDATE...): the first of the candidates that exists, under our name.
function(bunraku_adopt target)
    foreach(candidate IN LISTS ARGN)
        if(TARGET ${candidate} AND NOT TARGET ${target})
            add_library(${target} INTERFACE IMPORTED GLOBAL)
            set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES ${candidate})
        endif()
    endforeach()
endfunction()

macro(bunraku_find_zeromq)
    find_package(ZeroMQ CONFIG QUIET)
    bunraku_adopt(bunraku_zeromq libzmq-static libzmq)
    bunraku_find_library(bunraku_zeromq libzmq zmq.h zmq libzmq)
    if(NOT TARGET bunraku_zeromq)
        message(FATAL_ERROR
            "libzmq was not found. Debian and Ubuntu: apt-get install libzmq3-dev; macOS: brew install zeromq; "
            "vcpkg: zeromq; MSYS2: mingw-w64-x86_64-zeromq; crossing to Windows: "
            "engine_bridge/native/cmake/build_windows_dependencies.sh")
    endif()
endmacro()

macro(bunraku_find_lz4)
    if(BUNRAKU_WITH_LZ4)
        find_package(lz4 CONFIG QUIET)
        bunraku_adopt(bunraku_lz4 lz4::lz4 LZ4::lz4_static LZ4::lz4_shared)
        bunraku_find_library(bunraku_lz4 liblz4 lz4.h lz4 liblz4)
    endif()
endmacro()

macro(bunraku_find_turbojpeg)
    if(BUNRAKU_WITH_JPEG)
        find_package(libjpeg-turbo CONFIG QUIET)
        bunraku_adopt(bunraku_turbojpeg libjpeg-turbo::turbojpeg libjpeg-turbo::turbojpeg-static)
        bunraku_find_library(bunraku_turbojpeg libturbojpeg turbojpeg.h turbojpeg)
    endif()
endmacro()
